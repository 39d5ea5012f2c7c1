//! From a request to an answer: one service for all paths, driven by the tables of routes and services.

use super::answer::{Body, Streamed};
use super::params::{BodyKind, Params, ParamsError};
use super::routes::{ROUTES, Route};
use super::services::Filter;
use super::socket::Ending;
use super::{small, update, ws};
use crate::context::Context;
use crate::limits::BODY;
use crate::page;
use crate::service::{self, Endpoint, Method, Reply, Request as ServiceRequest, Service};
use core::cell::RefCell;
use core::net::Ipv4Addr;
use embedded_storage::nor_flash::NorFlash;
use picoserve::ResponseSent;
use picoserve::extract::FromRequest;
use picoserve::io::Read;
use picoserve::request::{Path, Request};
use picoserve::response::chunked::ChunkedResponse;
use picoserve::response::ws::WebSocketUpgrade;
use picoserve::response::{IntoResponse, Response, ResponseWriter, StatusCode};
use picoserve::routing::PathRouterService;
use spore_wire::http_head::HeadGuard;

/// The API of one node for one connection.
pub struct Api<'c, 'a, F> {
    /// The node.
    pub ctx: &'c Context<'a>,
    /// Its flash.
    pub flash: &'c RefCell<F>,
    /// Guard of the connection.
    pub guard: &'c RefCell<HeadGuard>,
    /// Whether the connection ends after this answer.
    pub ending: &'c Ending,
    /// Who is at the other end.
    pub peer: Option<Ipv4Addr>,
}

/// What a path and method lead to.
enum Target<'a> {
    Own(Route),
    Service(&'a dyn Service, &'static Endpoint<'static>),
    /// The path exists, for these methods.
    WrongMethod(&'static str),
    Nothing,
}

/// What is answered.
enum Outcome {
    /// The reply in the buffer.
    Small {
        status: u16,
        content_type: &'static str,
        allow: Option<&'static str>,
    },
    Stream(Body),
    Page,
    NotModified,
}

impl<F: NorFlash> PathRouterService for Api<'_, '_, F> {
    async fn call_path_router_service<R: Read, W: ResponseWriter<Error = R::Error>>(
        &self,
        _state: &(),
        _parameters: (),
        path: Path<'_>,
        mut request: Request<'_, R>,
        response_writer: W,
    ) -> Result<ResponseSent, W::Error> {
        self.ctx.with(|state| {
            state.counters.requests = state.counters.requests.wrapping_add(1);
            // Whoever asks has heard this node; that is what a trial waits for.
            state.trial.heard();
        });
        let method = request.parts.method();
        let target = self.find(method, path.encoded());
        let length = request.body_connection.content_length();
        let mut body = service::Body::new();
        let mut closing = false;
        let refused = {
            let mut reply = Reply::new(&mut body);
            match self.refuse(length, &target) {
                Some((status, message)) => {
                    self.ending.order();
                    closing = true;
                    reply.error(status, message);
                    Some(Outcome::Small { status, content_type: reply.content_type, allow: None })
                }
                None => None,
            }
        };
        let outcome = match (refused, target) {
            (Some(outcome), _) => outcome,
            (None, Target::Own(Route::WebSocket)) => {
                let upgrade =
                    WebSocketUpgrade::from_request(&(), request.parts, request.body_connection.body()).await;
                match upgrade {
                    Ok(upgrade) => {
                        let connection = request.body_connection.finalize().await?;
                        self.guard.borrow_mut().pass_through();
                        return upgrade
                            .on_upgrade(ws::Client { ctx: self.ctx })
                            .write_to(connection, response_writer)
                            .await;
                    }
                    Err(error) => {
                        let mut reply = Reply::new(&mut body);
                        reply.error(400, error);
                        Outcome::Small { status: 400, content_type: reply.content_type, allow: None }
                    }
                }
            }
            (None, Target::Own(Route::Update)) => {
                let content_type = request.parts.headers().get("content-type");
                let content_type = content_type.as_ref().and_then(|value| value.as_str().ok());
                let mut reader = request
                    .body_connection
                    .body()
                    .reader()
                    .with_different_timeout_signal(core::future::pending::<()>());
                let length = u32::try_from(length).unwrap_or(u32::MAX);
                let result = update::receive(self.ctx, self.flash, content_type, length, &mut reader).await;
                let mut reply = Reply::new(&mut body);
                match result {
                    Ok(installed) => small::installed(&mut reply, &installed),
                    Err(error) => reply.error(error.status(), &error),
                }
                Outcome::Small { status: reply.status, content_type: reply.content_type, allow: None }
            }
            (None, target) => {
                let content_type = request.parts.headers().get("content-type");
                let content_type = content_type.as_ref().and_then(|value| value.as_str().ok());
                let not_modified =
                    request.parts.headers().get("if-none-match").is_some_and(|tag| tag == page::ETAG);
                let query = request.parts.query().map_or("", |query| query.0);
                match request.body_connection.body().read_all().await {
                    Ok(sent) => {
                        let kind = BodyKind::of(content_type, sent);
                        self.answer(&target, query, kind, sent, not_modified, &mut body)
                    }
                    Err(_) => {
                        let mut reply = Reply::new(&mut body);
                        reply.error(400, "the body broke off; send the request again");
                        Outcome::Small { status: 400, content_type: reply.content_type, allow: None }
                    }
                }
            }
        };

        let connection = request.body_connection.finalize().await?;
        match outcome {
            Outcome::Small { status, content_type, allow } => {
                Response::new(StatusCode::new(status), body.as_str())
                    .with_content_type(content_type)
                    .with_headers(("Cache-Control", "no-store"))
                    .with_headers(allow.map(|methods| ("Allow", methods)))
                    .with_headers(closing.then_some(("Connection", "close")))
                    .write_to(connection, response_writer)
                    .await
            }
            Outcome::Stream(body) => {
                ChunkedResponse::new(Streamed { ctx: self.ctx, body })
                    .into_response()
                    .with_headers(("Cache-Control", "no-store"))
                    .write_to(connection, response_writer)
                    .await
            }
            Outcome::Page => {
                Response::ok(page::PAGE)
                    .with_content_type("text/html; charset=utf-8")
                    .with_headers([
                        ("Content-Encoding", "gzip"),
                        ("ETag", page::ETAG),
                        ("Cache-Control", "no-cache"),
                    ])
                    .write_to(connection, response_writer)
                    .await
            }
            Outcome::NotModified => {
                Response::empty(StatusCode::NOT_MODIFIED)
                    .with_headers(("ETag", page::ETAG))
                    .write_to(connection, response_writer)
                    .await
            }
        }
    }
}

impl<'a, F: NorFlash> Api<'_, 'a, F> {
    /// Looks a request up.
    fn find(&self, method: &str, path: &str) -> Target<'a> {
        // HEAD is GET without a body, which a streamed answer cannot promise; it is not offered.
        let wanted = Method::from_name(method);
        let (mut get, mut post) = (false, false);
        let mut note = |endpoint: &Endpoint<'_>| {
            if endpoint.uri != path {
                return false;
            }
            get |= endpoint.method == Method::Get;
            post |= endpoint.method == Method::Post;
            Some(endpoint.method) == wanted
        };
        if let Some((_, route)) = ROUTES.iter().find(|(endpoint, _)| note(endpoint)) {
            return Target::Own(*route);
        }
        for service in self.ctx.services() {
            if let Some(endpoint) = service.endpoints().iter().find(|endpoint| note(endpoint)) {
                return Target::Service(*service, endpoint);
            }
        }
        match (get, post) {
            (true, true) => Target::WrongMethod("GET, POST"),
            (true, false) => Target::WrongMethod("GET"),
            (false, true) => Target::WrongMethod("POST"),
            (false, false) => Target::Nothing,
        }
    }

    /// What is wrong with a request before its body is looked at.
    fn refuse(&self, length: usize, target: &Target<'_>) -> Option<(u16, &'static str)> {
        let guard = self.guard.borrow();
        if guard.malformed() {
            return Some((
                400,
                "malformed request head; send one Content-Length and no Transfer-Encoding with a body",
            ));
        }
        if guard.oversized() {
            return Some((413, "Content-Length is larger than anything this node takes"));
        }
        let is_update = matches!(target, Target::Own(Route::Update));
        if length > BODY && !is_update {
            return Some((413, "the body is larger than 1024 bytes"));
        }
        None
    }

    /// Answers a request whose body has been read.
    fn answer(
        &self,
        target: &Target<'_>,
        query: &str,
        kind: BodyKind,
        sent: &[u8],
        not_modified: bool,
        body: &mut service::Body,
    ) -> Outcome {
        let mut reply = Reply::new(body);
        let mut allow = None;
        let mut params = Params::new();
        let read = params.add_form(query).and_then(|()| params.add_body(kind, sent));
        match (target, read) {
            (Target::Nothing, _) => {
                reply.error(404, "no such path; GET /api/node/endpoints lists what this node offers");
            }
            (Target::WrongMethod(methods), _) => {
                allow = Some(*methods);
                reply.error(405, format_args!("this path takes {methods}"));
            }
            (_, Err(ParamsError::Malformed)) => {
                reply.error(400, "the parameters are neither a form nor a JSON object in UTF-8");
            }
            (_, Err(ParamsError::TooMany)) => reply.error(413, "too many parameters"),
            (Target::Own(route), Ok(())) => match route {
                Route::Page if not_modified => return Outcome::NotModified,
                Route::Page => return Outcome::Page,
                Route::Status => return Outcome::Stream(Body::Status),
                Route::Endpoints => return Outcome::Stream(Body::Endpoints),
                Route::Tasks => return Outcome::Stream(Body::Tasks),
                Route::Members => return Outcome::Stream(Body::Members),
                Route::Services => match Filter::from_params(&params) {
                    Ok(filter) => return Outcome::Stream(Body::Services(filter)),
                    Err(message) => reply.error(422, message),
                },
                route => small::answer(self.ctx, self.flash, *route, &params, &mut reply),
            },
            (Target::Service(service, endpoint), Ok(())) => {
                let request = ServiceRequest {
                    method: endpoint.method,
                    uri: endpoint.uri,
                    from: self.peer,
                    params: &params,
                };
                service.handle(self.ctx, &request, &mut reply);
            }
        }
        Outcome::Small { status: reply.status, content_type: reply.content_type, allow }
    }
}
