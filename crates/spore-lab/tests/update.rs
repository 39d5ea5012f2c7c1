//! Updates over HTTP: what is taken, what is refused, what goes back.

mod common;

use common::{Sim, image, is_error};
use serde_json::Value;
use spore_image::behaviour::Act;
use spore_image::{FlashMap, HEADER_BYTES, Header};
use spore_lab::node::FLASH_BYTES;
use spore_lab::view::Phase;

const PATH: &str = "/api/node/update";

/// What the flash says of the n-th node, so that looking at it is no request that confirms an image.
fn record(sim: &Sim, node: usize) -> spore_boot::Status {
    let mut flash = sim.cluster.borrow().nodes().nth(node).unwrap().flash().unwrap().clone();
    spore_boot::status(&mut flash, &FlashMap::for_size(FLASH_BYTES).unwrap()).unwrap()
}

fn boots(sim: &Sim, node: usize) -> u32 {
    sim.cluster.borrow().nodes().nth(node).unwrap().view.boots.get()
}

fn runs(sim: &Sim, node: usize, version: &str) -> bool {
    let cluster = sim.cluster.borrow();
    let view = &cluster.nodes().nth(node).unwrap().view;
    view.phase.get() == Phase::Running && *view.version.borrow() == version
}

/// Uploads an image that is good enough to be started.
fn install(sim: &Sim, node: usize, image: &[u8]) {
    let (status, answer) = sim.upload(node, image);
    assert_eq!(status, 200, "{answer}");
    assert_eq!((&answer["success"], &answer["size"]), (&Value::Bool(true), &image.len().into()));
}

#[test]
fn a_good_image_confirms_itself_and_is_told_to_the_others() {
    let sim = Sim::new(3, 11);
    sim.converge();
    let old = sim.get(1, "/api/node/status");
    assert_eq!((&old["image"]["slot"], &old["image"]["state"]), (&"a".into(), &"confirmed".into()));
    let (status, answer) = sim.upload(1, &image("1.1.0", Act::Healthy, 60_000));
    assert_eq!(status, 200, "{answer}");
    assert_eq!((&answer["version"], &answer["slot"]), (&"1.1.0".into(), &"b".into()));
    assert_eq!(answer["sha256"].as_str().unwrap().len(), 64);

    // Nobody asks the node anything: the other nodes' answers alone must confirm it.
    let (_, millis) = sim.eventually(10, "the new image runs", |sim| runs(sim, 1, "1.1.0").then_some(()));
    assert!(millis <= 1_000, "restart within 500 ms and boot: {millis} ms");
    let confirmed = |sim: &Sim| {
        let last = record(sim, 1).last_update?;
        (last.outcome == spore_boot::Outcome::Confirmed).then_some(())
    };
    let (_, millis) = sim.eventually(45, "the image is confirmed", confirmed);
    println!("confirmed by peers {millis} ms after its start");
    assert_eq!(boots(&sim, 1), 2);

    for other in [0, 2] {
        let ip = sim.ip(1).to_string();
        let (_, millis) = sim.eventually(15, "the others know the new version", |sim| {
            let members = sim.get(other, "/api/cluster/members");
            let members = members["members"].as_array()?.clone();
            members.into_iter().find(|member| member["ip"] == *ip && member["version"] == "1.1.0")
        });
        println!("node {other} knows it after {millis} ms");
    }
    let new = sim.get(1, "/api/node/status");
    assert_eq!(new["image"]["sha256"], answer["sha256"]);
    assert_eq!((&new["image"]["slot"], &new["image"]["state"]), (&"b".into(), &"confirmed".into()));
    assert_eq!(
        (&new["lastUpdate"]["outcome"], &new["lastUpdate"]["version"]),
        (&"confirmed".into(), &"1.1.0".into())
    );
    assert_eq!((&new["boot"], &new["resetReason"]), (&2.into(), &"restart".into()));

    // And once more, into the other slot.
    install(&sim, 1, &image("1.2.0", Act::Healthy, 40_000));
    sim.eventually(45, "the next image is confirmed", |sim| {
        (runs(sim, 1, "1.2.0")).then(|| confirmed(sim)).flatten()
    });
    let slots = sim.get(1, PATH);
    assert_eq!(
        (&slots["slots"][0]["version"], &slots["slots"][0]["state"]),
        (&"1.2.0".into(), &"confirmed".into())
    );
    assert_eq!(
        (&slots["slots"][1]["version"], &slots["slots"][1]["state"]),
        (&"1.1.0".into(), &"spare".into())
    );
}

#[test]
fn a_lone_node_is_confirmed_by_a_tool_and_goes_back_without() {
    let sim = Sim::new(1, 12);
    sim.run(5);
    install(&sim, 0, &image("1.1.0", Act::Healthy, 9_000));
    sim.run(3);
    assert!(runs(&sim, 0, "1.1.0"));
    assert_eq!(record(&sim, 0).last_update.unwrap().outcome, spore_boot::Outcome::Pending);
    assert_eq!(sim.get(0, "/api/node/status")["lastUpdate"]["outcome"], "pending");
    sim.run(1);
    assert_eq!(sim.get(0, PATH)["lastUpdate"]["outcome"], "confirmed");

    install(&sim, 0, &image("1.2.0", Act::Healthy, 9_000));
    sim.run(3);
    assert!(runs(&sim, 0, "1.2.0"));
    sim.run(57);
    let last = sim.get(0, "/api/node/status");
    assert_eq!(last["version"], "1.1.0", "nobody heard the image: {last:#}");
    assert_eq!(
        last["lastUpdate"],
        serde_json::json!({
            "version": "1.2.0", "outcome": "reverted", "reason": "trial deadline passed"
        })
    );
}

#[test]
fn images_that_fail_go_back_within_a_minute() {
    let cases = [
        (Act::Crash, 0, "crashed or hung 3 times"),
        (Act::Hang, 0, "crashed or hung 3 times"),
        (Act::NoNetwork, 0, "trial deadline passed"),
        (Act::Crash, 100, "crashed or hung 3 times"),
        (Act::Hang, 100, "crashed or hung 3 times"),
    ];
    for (act, after_ms, reason) in cases {
        let sim = Sim::new(2, 13);
        sim.converge();
        let behaviour = spore_image::Behaviour { act, after_ms };
        let bad =
            spore_image::build::virtual_image("spore", "6.6.6".parse().unwrap(), behaviour, 9_000).unwrap();
        install(&sim, 0, &bad);
        sim.run(1);
        let (_, millis) = sim.eventually(60, "the old image runs again", |sim| {
            let reverted = record(sim, 0).last_update?.outcome == spore_boot::Outcome::Reverted;
            (reverted && runs(sim, 0, "0.1.0")).then_some(())
        });
        println!("{act} after {after_ms} ms: back after {millis} ms, {} starts", boots(&sim, 0));
        if act == Act::NoNetwork {
            assert!((44_000..=47_000).contains(&millis), "its deadline is 45 s: {millis}");
        }
        let status = sim.answering(0);
        let told = serde_json::json!({ "version": "6.6.6", "outcome": "reverted", "reason": reason });
        assert_eq!((&status["lastUpdate"], &status["version"]), (&told, &"0.1.0".into()));
        assert_eq!(sim.get(0, PATH)["lastUpdate"], told);
        // Told once, at the start that went back (`update_finished` is fired beside this line).
        let line = format!("update: 6.6.6 reverted: {reason}");
        assert_eq!(sim.logs().matches(&line).count(), 1, "{}", sim.logs());
        sim.converge();
        install(&sim, 0, &image("1.1.0", Act::Healthy, 9_000));
        sim.eventually(30, "a good image is taken after the bad one", |sim| {
            let confirmed = record(sim, 0).last_update?.outcome == spore_boot::Outcome::Confirmed;
            (confirmed && runs(sim, 0, "1.1.0")).then_some(())
        });
    }
}

/// A head that announces a body of `length` bytes.
fn head(length: usize, content_type: &str) -> Vec<u8> {
    format!("POST {PATH} HTTP/1.1\r\nHost: node\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n")
        .into_bytes()
}

const RAW: &str = "application/octet-stream";

/// The node is as it was born: slot a runs, slot b cannot be started, nothing is under way, and it answers.
fn untouched(sim: &Sim, what: &str) {
    let status = sim.get(0, "/api/node/status");
    assert_eq!((&status["version"], &status["boot"]), (&"0.1.0".into(), &1.into()), "{what}");
    assert_eq!((&status["image"]["slot"], &status["lastUpdate"]), (&"a".into(), &Value::Null), "{what}");
    let update = sim.get(0, PATH);
    assert_eq!((&update["state"], &update["lastUpdate"]), (&"idle".into(), &Value::Null), "{what}");
    assert_eq!(update["slots"][1]["state"], "empty", "{what}: a refused image never looks like one");
}

#[test]
fn what_is_no_image_for_this_node_is_refused_and_changes_nothing() {
    let sim = Sim::new(1, 14);
    sim.run(5);
    let good = image("1.1.0", Act::Healthy, 9_000);
    let slot = FlashMap::for_size(FLASH_BYTES).unwrap().slot_bytes() as usize;
    let foreign = Header::new("esp8266", "spore", "1.1.0".parse().unwrap()).unwrap();
    let foreign = spore_image::build::build_image(foreign, &[7; 5_000]).unwrap();
    let mut cases = vec![
        ("empty".to_owned(), Vec::new(), &[400][..]),
        ("half an image".to_owned(), good[..4_500].to_vec(), &[400]),
        ("a header alone".to_owned(), good[..HEADER_BYTES].to_vec(), &[400]),
        ("less than a header".to_owned(), good[..100].to_vec(), &[400]),
        ("one byte short".to_owned(), good[..good.len() - 1].to_vec(), &[400]),
        ("one byte more".to_owned(), [&good[..], b"x"].concat(), &[400, 422]),
        ("foreign board".to_owned(), foreign, &[422]),
        ("text".to_owned(), b"hello world ".repeat(500), &[400, 422]),
        ("larger than the slot by its header".to_owned(), image("1.1.0", Act::Healthy, slot + 1), &[413]),
        ("larger than anything".to_owned(), vec![0; slot + 10_000], &[413]),
    ];
    for at in [0, 4, 9, 40, 130, 255, 256, 300, 4_095, 4_096, 4_500, 8_999] {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        cases.push((format!("byte {at} wrong"), bad, &[400, 422]));
    }
    for (what, body, allowed) in &cases {
        let (status, answer) = sim.upload(0, body);
        println!("{what}: {status} {answer}");
        assert!(allowed.contains(&status) && is_error(&answer), "{what}: {status} {answer}");
        untouched(&sim, what);
    }
    install(&sim, 0, &good);
    sim.run(5);
    assert_eq!(sim.get(0, "/api/node/status")["version"], "1.1.0");
}

#[test]
fn an_upload_that_breaks_off_changes_nothing() {
    let sim = Sim::new(1, 15);
    sim.run(5);
    let good = image("1.1.0", Act::Healthy, 9_000);
    for cut in [0, 1, 255, 256, 257, 4_096, 8_999] {
        // The client vanishes.
        let mut tcp = sim.connect(0);
        sim.wait("the first part", async {
            assert!(tcp.send(&head(good.len(), RAW)).await && tcp.send(&good[..cut]).await);
        });
        if cut > 0 {
            assert_eq!(sim.get(0, PATH)["state"], "receiving");
        }
        drop(tcp);
        let (_, millis) = sim.eventually(20, "the node gives it up", |sim| {
            (sim.get(0, PATH)["state"] == "idle").then_some(())
        });
        println!("cut after {cut}: given up after {millis} ms");
        untouched(&sim, "vanished");

        // The client says that it is over.
        let mut tcp = sim.connect(0);
        sim.wait("an answer to half an image", async {
            assert!(tcp.send(&head(good.len(), RAW)).await && tcp.send(&good[..cut]).await);
            tcp.close();
            if let Some(response) = tcp.response().await {
                assert_eq!(response.status, 400, "{}", response.text());
            }
        });
        untouched(&sim, "closed");

        // The client falls silent.
        let mut tcp = sim.connect(0);
        let response = sim.wait("an answer to a stalled upload", async {
            assert!(tcp.send(&head(good.len(), RAW)).await && tcp.send(&good[..cut]).await);
            tcp.response().await
        });
        let response = response.expect("a stalled upload is answered");
        assert_eq!(response.status, 400, "{}", response.text());
        assert!(is_error(&serde_json::from_slice(&response.body).unwrap()));
        drop(tcp);
        sim.run(2);
        untouched(&sim, "silent");
    }
    install(&sim, 0, &good);
}

#[test]
fn one_update_at_a_time() {
    let sim = Sim::new(1, 16);
    sim.run(5);
    let good = image("1.1.0", Act::Healthy, 9_000);
    let mut tcp = sim.connect(0);
    sim.wait("half an image", async {
        tcp.send(&head(good.len(), RAW)).await;
        tcp.send(&good[..5_000]).await;
    });
    let (status, answer) = sim.upload(0, &image("1.2.0", Act::Healthy, 9_000));
    assert!(status == 409 && is_error(&answer), "{status} {answer}");
    let response = sim.wait("the other half", async {
        tcp.send(&good[5_000..]).await;
        tcp.response().await
    });
    assert_eq!(response.unwrap().status, 200);
    let (status, answer) = sim.upload(0, &good);
    assert!(status == 409 && is_error(&answer), "it waits for the restart: {status} {answer}");
    sim.run(2);
    assert!(runs(&sim, 0, "1.1.0"), "{}", sim.logs());
    let (status, answer) = sim.upload(0, &image("1.2.0", Act::Healthy, 9_000));
    assert!(status == 409 && is_error(&answer), "the trial is open: {status} {answer}");
    sim.run(2);
    install(&sim, 0, &image("1.2.0", Act::Healthy, 9_000));
    sim.run(5);
    assert_eq!(sim.answering(0)["version"], "1.2.0");
}

fn multipart(image: &[u8]) -> Vec<u8> {
    let before = "--b0undary\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n\
        --b0undary\r\nContent-Disposition: form-data; name=\"firmware\"; filename=\"f.bin\"\r\n\
        Content-Type: application/octet-stream\r\n\r\n";
    [before.as_bytes(), image, b"\r\n--b0undary--\r\n"].concat()
}

const FORM: &str = "multipart/form-data; boundary=b0undary";

#[test]
fn a_form_is_taken_however_it_is_cut() {
    for piece in [1, 7, 100, 1_459, 100_000] {
        let sim = Sim::new(1, 17);
        sim.run(5);
        // What looks like the boundary is part of the image.
        let header = Header::new("virtual", "spore", "1.1.0".parse().unwrap()).unwrap();
        let payload = b"spore-virtual 1\nact healthy\n\n\r\n--b0undar\r\n--\r\n".repeat(40);
        let body = multipart(&spore_image::build::build_image(header, &payload).unwrap());
        let mut tcp = sim.connect(0);
        let response = sim.wait("an answer", async {
            tcp.send(&head(body.len(), FORM)).await;
            for part in body.chunks(piece) {
                assert!(tcp.send(part).await);
            }
            tcp.response().await
        });
        let response = response.unwrap();
        assert_eq!(response.status, 200, "pieces of {piece}: {}", response.text());
        sim.run(5);
        assert_eq!(sim.answering(0)["version"], "1.1.0");
    }
}

#[test]
fn a_bad_form_is_refused_and_changes_nothing() {
    let sim = Sim::new(1, 18);
    sim.run(5);
    let good = image("1.1.0", Act::Healthy, 9_000);
    let whole = multipart(&good);
    let cases = [
        ("cut in the image", FORM, whole[..5_000].to_vec()),
        ("without its last boundary", FORM, whole[..whole.len() - 16].to_vec()),
        ("cut in the last boundary", FORM, whole[..whole.len() - 6].to_vec()),
        ("other boundary", "multipart/form-data; boundary=other", whole.clone()),
        ("not a form", FORM, good.clone()),
        (
            "no file in it",
            FORM,
            b"--b0undary\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--b0undary--\r\n".to_vec(),
        ),
        ("an empty file", FORM, multipart(b"")),
        ("half an image in a whole form", FORM, multipart(&good[..4_000])),
    ];
    for (what, kind, body) in cases {
        let response = sim.request(0, "POST", PATH, &[("Content-Type", kind)], &body);
        println!("{what}: {} {}", response.status, response.text());
        assert_eq!(response.status, 400, "{what}: {}", response.text());
        assert!(is_error(&serde_json::from_slice(&response.body).unwrap()), "{what}");
        untouched(&sim, what);
    }
    let response = sim.request(0, "POST", PATH, &[("Content-Type", FORM)], &whole);
    assert_eq!(response.status, 200, "{}", response.text());
}

#[test]
fn progress_and_end_are_told_as_events() {
    let sim = Sim::new(1, 19);
    sim.run(5);
    let mut listener = sim.websocket(0);
    let good = image("1.1.0", Act::Healthy, 100_000);
    install(&sim, 0, &good);
    let mut told = Vec::new();
    sim.wait("the connection's end", async {
        while let Some(payload) = listener.event("update_progress").await {
            let payload: Value = serde_json::from_str(payload.as_str().unwrap()).unwrap();
            told.push(payload["received"].as_u64().unwrap());
            assert!(payload["size"].as_u64().unwrap() >= *told.last().unwrap());
        }
    });
    println!("progress: {told:?}");
    assert!(told.len() >= 5 && told.is_sorted() && told.last() == Some(&100_000), "{told:?}");

    sim.eventually(5, "the image runs", |sim| runs(sim, 0, "1.1.0").then_some(()));
    // Whoever connects first is the tool that confirms it.
    let mut listener = sim
        .eventually(10, "a WebSocket", |sim| {
            sim.wait("an answer", common::ws::WebSocket::open(sim.stack(), sim.address(0)))
        })
        .0;
    let finished = sim.wait("update_finished", listener.event("update_finished")).unwrap();
    let finished: Value = serde_json::from_str(finished.as_str().unwrap()).unwrap();
    assert_eq!((&finished["version"], &finished["outcome"]), (&"1.1.0".into(), &"confirmed".into()));
}
