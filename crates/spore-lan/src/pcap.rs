//! Captures in the format of libpcap, for Wireshark and tcpdump.

use std::io::{self, Write};

/// Writes frames to a capture file (libpcap file format 2.4, microseconds, Ethernet; see pcap-savefile(5)).
pub struct PcapWriter<W> {
    to: W,
}

impl<W: Write> PcapWriter<W> {
    /// Writes the file's header.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn new(mut to: W) -> io::Result<Self> {
        let mut header = [0u8; 24];
        header[0..4].copy_from_slice(&0xa1b2_c3d4_u32.to_le_bytes());
        header[4..6].copy_from_slice(&2u16.to_le_bytes());
        header[6..8].copy_from_slice(&4u16.to_le_bytes());
        header[16..20].copy_from_slice(&65_535u32.to_le_bytes());
        // LINKTYPE_ETHERNET
        header[20..24].copy_from_slice(&1u32.to_le_bytes());
        to.write_all(&header)?;
        Ok(Self { to })
    }

    /// Appends a frame seen at `micros` of the LAN's clock. Frames above 65,535 bytes are cut.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn frame(&mut self, micros: u64, frame: &[u8]) -> io::Result<()> {
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        let kept = length.min(65_535);
        let seconds = u32::try_from(micros / 1_000_000).unwrap_or(u32::MAX);
        let mut header = [0u8; 16];
        header[0..4].copy_from_slice(&seconds.to_le_bytes());
        header[4..8].copy_from_slice(&((micros % 1_000_000) as u32).to_le_bytes());
        header[8..12].copy_from_slice(&kept.to_le_bytes());
        header[12..16].copy_from_slice(&length.to_le_bytes());
        self.to.write_all(&header)?;
        self.to.write_all(&frame[..kept as usize])
    }

    /// Hands buffered bytes on.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_format() {
        let mut bytes = Vec::new();
        let mut pcap = PcapWriter::new(&mut bytes).unwrap();
        pcap.frame(3_000_007, &[0xaa, 0xbb]).unwrap();
        pcap.flush().unwrap();
        let expected = [
            0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0,
            0, // file
            3, 0, 0, 0, 7, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0xaa, 0xbb, // frame
        ];
        assert_eq!(bytes, expected);
    }
}
