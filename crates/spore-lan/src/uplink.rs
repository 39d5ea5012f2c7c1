//! A port for a program beyond a stream socket that speaks QEMU's format (`-netdev stream`): each frame is preceded
//! by its length, 32 bits, most significant byte first.

use crate::executor::{Spawner, Task};
use crate::switch::{MAX_FRAME, Port};
use async_io::Async;
use futures_lite::io::{AsyncReadExt, AsyncWriteExt};
use std::io;
use std::os::unix::net::UnixStream;

/// Carries frames between a switch's port and a stream.
pub struct Uplink {
    task: Task<io::Error>,
}

impl Uplink {
    /// Starts carrying. Ends, and unplugs the port, when the stream does or the uplink is dropped.
    ///
    /// # Errors
    /// When the host cannot watch the stream.
    pub fn new(spawner: &Spawner, port: Port, stream: UnixStream) -> io::Result<Self> {
        let stream = Async::new(stream)?;
        let task = spawner.spawn(async move {
            let inwards = inwards(&port, &stream);
            let outwards = outwards(&port, &stream);
            futures_lite::future::or(inwards, outwards).await
        });
        Ok(Self { task })
    }

    /// Whether the stream has ended.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Waits for the end of the stream and tells why; `UnexpectedEof` when the other side closed it.
    pub async fn ended(&mut self) -> io::Error {
        match self.task.join().await {
            Ok(error) => error,
            Err(stopped) => io::Error::other(stopped),
        }
    }
}

async fn inwards(port: &Port, mut stream: &Async<UnixStream>) -> io::Error {
    let mut buffer = [0; MAX_FRAME];
    loop {
        let mut length = [0; 4];
        if let Err(error) = stream.read_exact(&mut length).await {
            return error;
        }
        let length = u32::from_be_bytes(length) as usize;
        let Some(frame) = buffer.get_mut(..length) else {
            return io::Error::new(io::ErrorKind::InvalidData, "a frame longer than Ethernet's");
        };
        if let Err(error) = stream.read_exact(frame).await {
            return error;
        }
        port.send(frame);
    }
}

async fn outwards(port: &Port, mut stream: &Async<UnixStream>) -> io::Error {
    let mut buffer = Vec::with_capacity(4 + MAX_FRAME);
    loop {
        let frame = port.receive().await;
        buffer.clear();
        // A frame is at most 1,514 bytes.
        buffer.extend_from_slice(&(frame.len() as u32).to_be_bytes());
        buffer.extend_from_slice(&frame);
        if let Err(error) = stream.write_all(&buffer).await {
            return error;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Mode;
    use crate::executor::World;
    use crate::switch::Switch;

    #[test]
    fn frames_cross_both_ways_and_the_end_unplugs() {
        let world = World::new(Mode::Real);
        let switch = Switch::new(1);
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut uplink = Uplink::new(&world.spawner(), switch.attach([2, 0, 0, 0, 0, 9]), ours).unwrap();
        let port = switch.attach([2, 0, 0, 0, 0, 1]);
        let frame = [[0xff; 6].as_slice(), &[2, 0, 0, 0, 0, 9], &[0x88, 0xb5], &[7; 100]].concat();
        let theirs = Async::new(theirs).unwrap();
        world.run_until(async {
            let mut stream = &theirs;
            // In two pieces, since a stream knows no frames.
            let bytes = [&(frame.len() as u32).to_be_bytes(), &frame[..]].concat();
            stream.write_all(&bytes[..20]).await.unwrap();
            stream.write_all(&bytes[20..]).await.unwrap();
            assert_eq!(&port.receive().await[..], &frame[..]);
            port.send(&frame);
            let mut echoed = vec![0; bytes.len()];
            stream.read_exact(&mut echoed).await.unwrap();
            assert_eq!(echoed, bytes);
            stream.write_all(&[0xff; 4]).await.unwrap();
            assert_eq!(uplink.ended().await.kind(), io::ErrorKind::InvalidData);
        });
        assert_eq!(switch.ports(), 1);
    }
}
