//! A WebSocket client of a node (RFC 6455), text frames only.

use crate::common::tcp::Tcp;
use embassy_net::Stack;
use serde_json::Value;
use std::net::SocketAddrV4;

/// An open WebSocket.
pub struct WebSocket(Tcp);

impl WebSocket {
    /// Opens `/ws` of a node.
    pub async fn open(stack: Stack<'static>, to: SocketAddrV4) -> Option<Self> {
        let mut tcp = Tcp::connect(stack, to).await?;
        let request = "GET /ws HTTP/1.1\r\nHost: node\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        tcp.send(request.as_bytes()).await;
        let response = tcp.response().await?;
        assert_eq!(response.status, 101, "{response:?}");
        // The example of RFC 6455, 1.3.
        assert_eq!(response.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        Some(Self(tcp))
    }

    /// Sends a text.
    pub async fn send(&mut self, text: &str) {
        self.frame(1, text.as_bytes()).await;
    }

    async fn frame(&mut self, opcode: u8, payload: &[u8]) {
        let mut frame = vec![0x80 | opcode];
        match payload.len() {
            length @ 0..=125 => frame.push(0x80 | length as u8),
            length => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
        }
        let mask = [1, 2, 3, 4];
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.0.send(&frame).await;
    }

    /// The next text as JSON, pings answered; `None` when the node closes.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            let head = self.0.take(2).await?;
            assert!(head[0] & 0x80 != 0 && head[1] & 0x80 == 0, "whole and not masked: {head:?}");
            let length = match head[1] {
                126 => {
                    let length = self.0.take(2).await?;
                    usize::from(u16::from_be_bytes([length[0], length[1]]))
                }
                length => usize::from(length),
            };
            let payload = self.0.take(length).await?;
            match head[0] & 0xf {
                1 => return Some(serde_json::from_slice(&payload).unwrap()),
                8 => {
                    println!("closed: {:?}", String::from_utf8_lossy(&payload));
                    return None;
                }
                9 => self.frame(10, &payload).await,
                _ => {}
            }
        }
    }

    /// The next event of a name.
    pub async fn event(&mut self, name: &str) -> Option<Value> {
        loop {
            let message = self.next().await?;
            if message["event"] == name {
                return Some(message["payload"].clone());
            }
        }
    }
}
