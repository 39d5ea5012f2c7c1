//! JSON of any length, written piece by piece into chunks.

use core::fmt;
use picoserve::io::Write;
use picoserve::response::chunked::{ChunkWriter, ChunksWritten};
use spore_wire::json::JsonWriter;

/// Size of a chunk in bytes. A piece of the document must fit into one.
pub const CHUNK: usize = 1024;
type Buffer = heapless::String<CHUNK>;

/// A JSON document on its way out.
pub struct JsonStream<W: Write> {
    json: JsonWriter<Buffer>,
    out: ChunkWriter<W>,
}

impl<W: Write> JsonStream<W> {
    /// Starts a document.
    pub fn new(out: ChunkWriter<W>) -> Self {
        Self { json: JsonWriter::new(Buffer::new()), out }
    }

    /// Writes one piece of at most `size` bytes, sending what came before if it needs the room.
    ///
    /// The closure runs without interruption, so it may borrow the node's state; the state may be another at the next piece.
    pub async fn piece(
        &mut self,
        size: usize,
        write: impl FnOnce(&mut JsonWriter<Buffer>) -> fmt::Result,
    ) -> Result<(), W::Error> {
        if CHUNK.saturating_sub(self.json.get_mut().len()) < size {
            self.send().await?;
        }
        let fits = write(&mut self.json).is_ok();
        debug_assert!(fits, "a piece of the document is larger than announced");
        Ok(())
    }

    async fn send(&mut self) -> Result<(), W::Error> {
        self.out.write_chunk(self.json.get_mut().as_bytes()).await?;
        self.json.get_mut().clear();
        Ok(())
    }

    /// Sends the rest and ends the document.
    pub async fn finish(mut self) -> Result<ChunksWritten, W::Error> {
        self.send().await?;
        self.out.finalize().await
    }
}
