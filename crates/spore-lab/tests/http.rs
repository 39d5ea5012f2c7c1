//! HTTP as it is on the wire: connections, heads and bodies of all kinds.

mod common;

use common::tcp::Tcp;
use common::{Sim, is_error};
use embassy_time::{Duration, Instant};
use serde_json::Value;
use spore_lan::http::Response;
use spore_node::limits::{HTTP_CONNECTIONS, HTTP_TX};

fn sim(seed: u64) -> Sim {
    let sim = Sim::new(1, seed);
    sim.run(3);
    sim
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: node\r\n\r\n")
}

/// One request on a connection of its own, as it is; `None` when the node hangs up without a word.
fn raw(sim: &Sim, bytes: &[u8]) -> Option<Response> {
    let mut tcp = sim.connect(0);
    sim.wait("an answer", async {
        tcp.send(bytes).await;
        let response = tcp.response().await;
        tcp.hang_up().await;
        response
    })
}

fn json(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_else(|error| panic!("{error}: {}", response.text()))
}

/// It still answers, and has not restarted.
fn lives(sim: &Sim) {
    let status = sim.get(0, "/api/node/status");
    assert_eq!(status["boot"], 1, "{}", sim.logs());
}

#[test]
fn errors_are_told_in_words() {
    let sim = sim(51);
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let kind = [("Content-Type", "application/json")];
    let long = vec![b'a'; 1_025];
    /// Method, path, headers, body; status and `Allow`.
    type Case<'c> = (&'c str, &'c str, &'c [(&'c str, &'c str)], &'c [u8], u16, Option<&'c str>);
    let cases: [Case<'_>; 13] = [
        ("GET", "/nothing", &[], b"", 404, None),
        ("POST", "/api/node/status", &form, b"", 405, Some("GET")),
        ("GET", "/api/node/restart", &[], b"", 405, Some("POST")),
        ("DELETE", "/api/node/config", &[], b"", 405, Some("GET, POST")),
        ("PUT", "/api/relay", &[], b"state=on", 405, Some("POST")),
        ("OPTIONS", "/api/hello", &[], b"", 405, Some("GET")),
        ("POST", "/api/relay", &form, b"state=sideways", 422, None),
        ("POST", "/api/relay", &form, b"", 422, None),
        ("POST", "/api/relay", &kind, b"{\"state\":", 400, None),
        ("POST", "/api/relay", &kind, b"[1,2]", 400, None),
        ("POST", "/api/relay", &form, b"state=\xff\xfe", 400, None),
        ("POST", "/api/relay", &form, &long, 413, None),
        (
            "GET",
            "/api/hello?name=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            &[],
            b"",
            422,
            None,
        ),
    ];
    for (method, path, headers, body, status, allow) in cases {
        let response = sim.request(0, method, path, headers, body);
        assert_eq!(response.status, status, "{method} {path}: {}", response.text());
        assert!(is_error(&json(&response)), "{method} {path}: {}", response.text());
        assert_eq!(response.header("allow"), allow, "{method} {path}");
        assert_eq!(response.header("content-type"), Some("application/json"));
    }
    let response = sim.request(0, "HEAD", "/api/node/status", &[], &[]);
    assert_eq!((response.status, response.header("allow")), (405, Some("GET")));
    assert_eq!(sim.get(0, "/api/relay/status")["switched"], 0, "nothing has changed");
}

#[test]
fn forms_json_and_queries_say_the_same() {
    let sim = sim(52);
    for (path, kind, body, state) in [
        ("/api/relay", "application/x-www-form-urlencoded", "state=on", "on"),
        ("/api/relay", "application/json", "{\"state\":\"off\"}", "off"),
        ("/api/relay", "application/json; charset=utf-8", " {\"x\":[1,{}],\"state\":\"\\u006fn\"}", "on"),
        ("/api/relay?state=off", "text/plain", "", "off"),
        ("/api/relay?state=off", "application/x-www-form-urlencoded", "state=%6F%6e", "on"),
    ] {
        let response = sim.request(0, "POST", path, &[("Content-Type", kind)], body.as_bytes());
        assert_eq!((response.status, &json(&response)["state"]), (200, &state.into()), "{kind} {body}");
    }
}

#[test]
fn a_connection_serves_request_after_request() {
    let sim = sim(53);
    let mut tcp = sim.connect(0);
    let post = "POST /api/relay HTTP/1.1\r\nHost: node\r\nContent-Length: 12\r\n\r\nstate=toggle";
    sim.wait("ten answers", async {
        for round in 1..=10u64 {
            tcp.send(get("/api/node/status").as_bytes()).await;
            assert_eq!(tcp.response().await.unwrap().status, 200);
            tcp.send(get("/nothing").as_bytes()).await;
            assert_eq!(tcp.response().await.unwrap().status, 404);
            tcp.send(post.as_bytes()).await;
            assert_eq!(json(&tcp.response().await.unwrap())["switched"], round);
        }
    });
    sim.wait("the client's end", tcp.hang_up());
    // Pipelined: all at once, answered in order.
    let mut tcp = sim.connect(0);
    let batch =
        [get("/api/hello?name=a"), post.to_owned(), get("/api/node/endpoints"), get("/api/hello?name=b")]
            .concat();
    sim.wait("four answers", async {
        tcp.send(batch.as_bytes()).await;
        assert_eq!(json(&tcp.response().await.unwrap())["hello"], "a");
        assert_eq!(json(&tcp.response().await.unwrap())["switched"], 11);
        assert_eq!(json(&tcp.response().await.unwrap())["endpoints"].as_array().unwrap().len(), 24);
        assert_eq!(json(&tcp.response().await.unwrap())["hello"], "b");
    });
    sim.wait("the client's end", tcp.hang_up());
    // A byte at a time.
    let mut tcp = sim.connect(0);
    sim.wait("an answer", async {
        for byte in post.bytes() {
            tcp.send(&[byte]).await;
        }
        assert_eq!(json(&tcp.response().await.unwrap())["switched"], 12);
    });
}

/// Until the node hangs up.
fn patience(sim: &Sim, tcp: &mut Tcp) -> u64 {
    let start = Instant::now();
    sim.wait("the node hangs up", tcp.ended());
    start.elapsed().as_millis()
}

#[test]
fn slow_clients_are_cut_off() {
    let sim = sim(54);
    for (what, bytes) in [
        ("nothing", ""),
        ("half a head", "GET /api/node/status HTTP/1.1\r\nHost:"),
        ("half a body", "POST /api/relay HTTP/1.1\r\nContent-Length: 12\r\n\r\nstate"),
    ] {
        let mut tcp = sim.connect(0);
        sim.wait("bytes taken", tcp.send(bytes.as_bytes()));
        let millis = patience(&sim, &mut tcp);
        println!("{what}: cut off after {millis} ms");
        assert!(millis <= 10_000, "{what}: {millis}");
    }
    // A byte now and then does not keep a connection for ever.
    let mut tcp = sim.connect(0);
    let start = Instant::now();
    sim.wait("a slow client is cut off", async {
        while start.elapsed() < Duration::from_secs(100) {
            if !tcp.send(b"G").await {
                break;
            }
            embassy_time::Timer::after_secs(1).await;
        }
    });
    println!("a byte a second: cut off after {} ms", start.elapsed().as_millis());
    assert!(start.elapsed() < Duration::from_secs(30));
    lives(&sim);
}

#[test]
fn a_client_too_many_is_told_to_come_again() {
    let sim = sim(55);
    for round in 0..3 {
        let silent: Vec<_> = (0..HTTP_CONNECTIONS).map(|_| sim.connect(0)).collect();
        for _ in 0..3 {
            let response = sim.request(0, "GET", "/api/node/status", &[], &[]);
            assert_eq!(response.status, 503, "round {round}");
            assert!(is_error(&json(&response)) && response.header("retry-after").is_some());
        }
        if round == 0 {
            // They vanish at once.
            drop(silent);
        } else {
            // They stay until they are cut off.
            std::mem::forget(silent);
        }
        let (_, millis) = sim.eventually(20, "the node is free again", |sim| {
            let response = sim.try_request(0, "GET", "/api/node/status", &[], &[]).ok()?;
            (response.status == 200).then_some(())
        });
        println!("round {round}: free again after {millis} ms");
    }
    // A WebSocket is a connection; one that goes makes room.
    let mut sockets: Vec<_> = (0..HTTP_CONNECTIONS).map(|_| sim.websocket(0)).collect();
    assert_eq!(sim.request(0, "GET", "/", &[], &[]).status, 503);
    sockets.pop();
    sim.eventually(30, "a place is free", |sim| {
        (sim.request(0, "GET", "/", &[], &[]).status == 200).then_some(())
    });
    lives(&sim);
}

#[test]
fn lengths_that_cannot_be_are_harmless() {
    let sim = sim(56);
    for path in ["/api/relay", "/api/node/update", "/api/node/status", "/nothing"] {
        for length in [
            "18446744073709551615",
            "18446744073709551616",
            "4294967295",
            "4294967296",
            "99999999",
            "-1",
            "+5",
            "0x10",
            "12, 12",
            "",
            "1 2",
        ] {
            let head =
                format!("POST {path} HTTP/1.1\r\nHost: node\r\nContent-Length: {length}\r\n\r\nstate=toggle");
            if let Some(response) = raw(&sim, head.as_bytes()) {
                assert!(
                    matches!(response.status, 400 | 413),
                    "{path} {length}: {} {}",
                    response.status,
                    response.text()
                );
            } else {
                println!("{path} with length '{length}': hung up");
            }
        }
        for lines in [
            "Content-Length: 12\r\nContent-Length: 12",
            "Content-Length: 12\r\nContent-Length: 0",
            "Transfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 12",
            "Content-Length: 12\r\nTransfer-Encoding: identity",
        ] {
            let head = format!("POST {path} HTTP/1.1\r\nHost: node\r\n{lines}\r\n\r\nstate=toggle");
            let response =
                raw(&sim, head.as_bytes()).unwrap_or_else(|| panic!("{path} {lines:?}: no answer"));
            assert!(
                response.status == 400 && is_error(&json(&response)),
                "{path} {lines:?}: {}",
                response.text()
            );
        }
    }
    for junk in [
        &b"\r\n\r\n"[..],
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        &[0xff; 3_000],
    ] {
        // Connections end at their own pace.
        sim.run(4);
        if let Some(response) = raw(&sim, junk) {
            println!("{:?}: {}", String::from_utf8_lossy(&junk[..junk.len().min(12)]), response.status);
            assert!((400..=505).contains(&response.status) || junk.starts_with(b"GET / HTTP"));
        }
    }
    let head = format!("GET / HTTP/1.1\r\nCookie: {}\r\n\r\n", "x".repeat(5_000));
    if let Some(response) = raw(&sim, head.as_bytes()) {
        assert!((400..=431).contains(&response.status), "{}", response.status);
    }
    assert_eq!(sim.get(0, "/api/relay/status")["switched"], 0, "no refused request has done anything");
    lives(&sim);
}

#[test]
fn what_makes_no_sense_ends_its_connection() {
    let sim = sim(60);
    let heads = [
        "POST /api/node/update HTTP/1.1\r\nContent-Length: 1e3\r\n\r\nevent=x",
        "POST /api/relay HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /api/relay HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\nstate=toggle",
        "GET /\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\n",
    ];
    // Three times as many as there are connections, one directly after the other.
    for head in heads.iter().cycle().take(12) {
        let mut tcp = sim.connect(0);
        let start = Instant::now();
        sim.wait("the node hangs up", async {
            tcp.send(head.as_bytes()).await;
            let response = tcp.response().await.expect("an answer");
            assert!(matches!(response.status, 400 | 413), "{head:?}: {}", response.text());
            assert_eq!(response.header("connection"), Some("close"), "{head:?}");
            // Nothing is sent after it, and nobody waits for the client.
            assert_eq!(tcp.take(1).await, None, "{head:?}");
        });
        println!("{head:?}: ended after {} ms", start.elapsed().as_millis());
        assert!(start.elapsed() < Duration::from_secs(1), "{head:?}");
        sim.wait("the client's end", tcp.hang_up());
    }
    lives(&sim);
}

#[test]
fn the_page_is_sent_packed_and_only_once() {
    let sim = sim(57);
    let page = sim.request(0, "GET", "/", &[], &[]);
    assert_eq!((page.status, page.header("content-encoding")), (200, Some("gzip")));
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.body.starts_with(&[0x1f, 0x8b]) && page.body.len() > 1_000);
    let tag = page.header("etag").unwrap();
    let mut tcp = sim.connect(0);
    sim.wait("answers", async {
        for tag in [tag, tag, "\"other\""] {
            tcp.send(format!("GET / HTTP/1.1\r\nIf-None-Match: {tag}\r\n\r\n").as_bytes()).await;
            let again = tcp.response().await.unwrap();
            let fresh = tag == "\"other\"";
            assert_eq!((again.status, again.body == page.body), (if fresh { 200 } else { 304 }, fresh));
            assert_eq!(again.header("etag"), page.header("etag"));
        }
    });
}

#[test]
fn answers_come_without_stalls() {
    let sim = Sim::new(20, 58);
    sim.converge();
    sim.run(12);
    let mut tcp = sim.connect(0);
    for path in [
        "/api/node/status",
        "/api/node/endpoints",
        "/api/cluster/members",
        "/api/cluster/services",
        "/",
        "/api/tasks/status",
    ] {
        let start = Instant::now();
        let length = sim.wait("an answer", async {
            tcp.send(get(path).as_bytes()).await;
            tcp.response().await.unwrap().body.len()
        });
        let micros = start.elapsed().as_micros();
        println!("{path}: {length} bytes in {:.1} ms of virtual time", micros as f64 / 1_000.0);
        // A delayed acknowledgement would be 10 ms in smoltcp, 40 and more elsewhere. An ESP8266 has no room to go on without.
        let waits = if HTTP_TX < 2 * 1460 { length / HTTP_TX + 1 } else { 0 };
        assert!(micros < 10_000 * (waits as u64 + 1), "{path}: {micros} us for {length} bytes");
    }
}

#[test]
fn a_list_of_many_members_is_whole() {
    const NODES: u16 = 120;
    let sim = Sim::new(NODES, 59);
    let seconds = sim.converge();
    sim.run(12);
    println!("{NODES} nodes: all ACTIVE after {seconds} s");
    let response = sim.request(7, "GET", "/api/cluster/members", &[], &[]);
    let members = json(&response);
    let members = members["members"].as_array().unwrap();
    println!("{} bytes", response.body.len());
    assert_eq!(members.len(), usize::from(NODES));
    let names: std::collections::BTreeSet<_> =
        members.iter().map(|member| member["hostname"].as_str().unwrap()).collect();
    assert_eq!(names.len(), usize::from(NODES));
    for member in members {
        assert_eq!((&member["status"], &member["kind"]), (&"ACTIVE".into(), &"rust".into()));
        assert_eq!(member["api"].as_array().unwrap().len(), 24, "{member}");
    }
    let services = sim.get(7, "/api/cluster/services?uri=/api/hello");
    assert_eq!(services["services"][0]["nodes"].as_array().unwrap().len(), usize::from(NODES));
}
