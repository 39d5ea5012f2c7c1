//! How an image is made.

use crate::error::ImageError;
use crate::header::{HEADER_BYTES, Header};
use sha2::{Digest, Sha256};

/// Completes a header for a payload: its length and its SHA-256. Everything else stays as it is.
///
/// Errors: [`ImageError::Empty`]; [`ImageError::TooLarge`] for 4 GB and more.
pub fn seal(mut header: Header, payload: &[u8]) -> Result<Header, ImageError> {
    if payload.is_empty() {
        return Err(ImageError::Empty);
    }
    let room = u32::MAX - HEADER_BYTES as u32;
    header.payload_length = u32::try_from(payload.len())
        .ok()
        .filter(|length| *length <= room)
        .ok_or(ImageError::TooLarge { image: u32::MAX, slot: room })?;
    header.sha256 = Sha256::digest(payload).into();
    Ok(header)
}

/// Writes the image of a payload into `out` and returns its length. The header is completed by [`seal`].
///
/// Errors: [`ImageError::TooLarge`] if `out` is too small; what [`Header::emit`] says.
pub fn build_into(header: Header, payload: &[u8], out: &mut [u8]) -> Result<usize, ImageError> {
    let header = seal(header, payload)?;
    let slot = u32::try_from(out.len()).unwrap_or(u32::MAX);
    let too_large = ImageError::TooLarge { image: header.image_length(), slot };
    let (head, rest) = out.split_first_chunk_mut::<HEADER_BYTES>().ok_or(too_large.clone())?;
    let body = rest.get_mut(..payload.len()).ok_or(too_large)?;
    *head = header.emit()?;
    body.copy_from_slice(payload);
    Ok(HEADER_BYTES + payload.len())
}

/// The image of a payload.
#[cfg(feature = "std")]
pub fn build_image(header: Header, payload: &[u8]) -> Result<std::vec::Vec<u8>, ImageError> {
    let mut out = std::vec![0; HEADER_BYTES + payload.len()];
    build_into(header, payload, &mut out)?;
    Ok(out)
}

/// An image for the lab's virtual board of exactly `bytes` bytes, or of as few as its behaviour needs if that is more.
/// The padding does not compress, so that an upload takes as long as a real one.
///
/// Errors: [`ImageError::BadText`] for a name that does not fit the header.
#[cfg(feature = "std")]
pub fn virtual_image(
    name: &str,
    version: crate::Version,
    behaviour: crate::Behaviour,
    bytes: usize,
) -> Result<std::vec::Vec<u8>, ImageError> {
    let record = behaviour.emit();
    let mut payload = std::vec::Vec::from(record.as_bytes());
    let length = bytes.saturating_sub(HEADER_BYTES).max(payload.len());
    // Two versions differ in their padding too, as two firmwares would.
    let mut state = u64::from(crate::crc32(version.as_str().as_bytes())) | 1 << 32;
    payload.extend(core::iter::repeat_with(|| xorshift(&mut state)).take(length - record.len()));
    build_image(Header::new(crate::VIRTUAL_BOARD, name, version)?, &payload)
}

/// Marsaglia's xorshift64: incompressible bytes without a dependency.
#[cfg(feature = "std")]
fn xorshift(state: &mut u64) -> u8 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 32) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header::new("virtual", "hello", "1.0.0".parse().unwrap()).unwrap()
    }

    #[test]
    fn a_buffer_of_the_right_size_is_enough() {
        let mut out = [0; 266];
        assert_eq!(build_into(header(), b"0123456789", &mut out), Ok(266));
        assert_eq!(&out[256..], b"0123456789");
        let error = build_into(header(), b"0123456789", &mut out[..265]).unwrap_err();
        assert_eq!(error, ImageError::TooLarge { image: 266, slot: 265 });
        assert_eq!(build_into(header(), b"x", &mut []), Err(ImageError::TooLarge { image: 257, slot: 0 }));
        assert_eq!(build_into(header(), b"", &mut out), Err(ImageError::Empty));
    }

    #[test]
    fn sha256_of_the_standard() {
        // FIPS 180-4 example: "abc".
        let sealed = seal(header(), b"abc").unwrap();
        assert_eq!(sealed.sha256[..4], [0xBA, 0x78, 0x16, 0xBF]);
        assert_eq!(sealed.payload_length, 3);
    }

    #[cfg(feature = "std")]
    #[test]
    fn virtual_images_have_the_size_asked_for() {
        use crate::{Act, Behaviour, Verifier};
        let behaviour = Behaviour { act: Act::Hang, after_ms: 20 };
        for bytes in [0, 256, 300, 5000, 300_000] {
            let image = virtual_image("hello", "1.0.0".parse().unwrap(), behaviour, bytes).unwrap();
            assert!(image.len() == bytes || (bytes < 400 && image.len() < 400), "{}", image.len());
            let mut verifier = Verifier::new(crate::VIRTUAL_BOARD, 488 * 1024);
            verifier.update(&image).unwrap();
            verifier.finish().unwrap();
            assert_eq!(Behaviour::parse(&image[HEADER_BYTES..]), Ok(behaviour));
        }
    }
}
