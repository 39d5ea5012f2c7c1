//! `POST /api/node/update`: streams an image into the free slot.

use crate::context::Context;
use crate::state::Update;
use core::cell::RefCell;
use core::fmt;
use embassy_time::{Duration, with_timeout};
use embedded_storage::nor_flash::NorFlash;
use picoserve::io::Read;
use spore_boot::{InstallError, InstallFault, Installed, Installer};
use spore_core::events::Event;
use spore_image::FlashMap;
use spore_wire::multipart::{Multipart, MultipartError, boundary_of};

/// A client that sends nothing for so long has gone.
const STALL: Duration = Duration::from_secs(8);
/// `update_progress` is told after so many bytes.
const PROGRESS_STEP: u32 = 16 * 1024;

/// Why an upload was refused. The running image is untouched.
#[derive(Debug)]
pub enum UploadError {
    /// Another one is under way, or its image waits for the restart.
    Busy,
    /// Nothing was sent.
    Empty,
    /// The body as a whole is larger than any image.
    TooLarge(u32),
    /// The connection stalled or broke off.
    Interrupted {
        /// Bytes of the image that had come.
        received: u32,
    },
    /// The body says it is multipart and is not.
    Multipart(MultipartError),
    /// The image was refused.
    Install(InstallError),
}

impl UploadError {
    /// HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::Busy => 409,
            Self::Empty | Self::Interrupted { .. } | Self::Multipart(_) => 400,
            Self::TooLarge(_) => 413,
            Self::Install(error) => match error.fault() {
                InstallFault::Malformed => 400,
                InstallFault::Conflict => 409,
                InstallFault::TooLarge => 413,
                InstallFault::Unacceptable => 422,
                InstallFault::Broken => 500,
            },
        }
    }
}

impl fmt::Display for UploadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("another update is under way; wait until it has ended"),
            Self::Empty => f.write_str("the body is empty; send an image, raw or as multipart/form-data"),
            Self::TooLarge(slot) => {
                write!(f, "larger than the slot, which takes images of at most {slot} bytes")
            }
            Self::Interrupted { received } => {
                write!(f, "the upload broke off after {received} bytes; send it again")
            }
            Self::Multipart(error) => error.fmt(f),
            Self::Install(error) => error.fmt(f),
        }
    }
}

/// How much a multipart body may be larger than the image in it.
const ENVELOPE: u32 = 2048;

/// Marks the node as busy with an update while it lives; what comes after is what it is dropped with.
struct Claim<'c, 'a> {
    ctx: &'c Context<'a>,
    then: Update,
}

impl Drop for Claim<'_, '_> {
    fn drop(&mut self) {
        let then = self.then;
        self.ctx.with(|state| state.update = then);
    }
}

/// Receives an image. On success it runs at the next start, which has been ordered.
pub async fn receive<F: NorFlash, R: Read>(
    ctx: &Context<'_>,
    flash: &RefCell<F>,
    content_type: Option<&str>,
    length: u32,
    reader: &mut R,
) -> Result<Installed, UploadError> {
    let (map, board, running) = ctx.with(|state| {
        if state.update != Update::Idle {
            return Err(UploadError::Busy);
        }
        let map = FlashMap::for_size(state.identity.flash_bytes).map_err(|_| UploadError::TooLarge(0))?;
        if length == 0 {
            return Err(UploadError::Empty);
        }
        if length > map.slot_bytes().saturating_add(ENVELOPE) {
            return Err(UploadError::TooLarge(map.slot_bytes()));
        }
        state.update = Update::Receiving { received: 0, size: length };
        Ok((map, state.identity.board, state.boot.slot))
    })?;
    let mut claim = Claim { ctx, then: Update::Idle };
    let mut installer =
        Installer::begin(&mut *flash.borrow_mut(), &map, board, running).map_err(UploadError::Install)?;
    let mut multipart = match content_type.and_then(boundary_of) {
        Some(boundary) => Some(Multipart::new(boundary).map_err(UploadError::Multipart)?),
        None => None,
    };

    let mut buffer = [0u8; 1024];
    let mut left = length;
    let mut told = 0;
    while left > 0 {
        let received = installer.progress().received;
        let count = match with_timeout(STALL, reader.read(&mut buffer)).await {
            Ok(Ok(count @ 1..)) => count,
            _ => return Err(UploadError::Interrupted { received }),
        };
        left = left.saturating_sub(u32::try_from(count).unwrap_or(u32::MAX));
        let bytes = buffer.get(..count).unwrap_or_default();
        let mut result = Ok(());
        let mut write = |bytes: &[u8]| {
            if result.is_ok() {
                result = installer.write_all(&mut *flash.borrow_mut(), bytes);
            }
        };
        match &mut multipart {
            None => write(bytes),
            Some(multipart) => multipart.feed(bytes, &mut write).map_err(UploadError::Multipart)?,
        }
        result.map_err(UploadError::Install)?;
        let received = installer.progress().received;
        ctx.with(|state| state.update = Update::Receiving { received, size: length });
        if received >= told + PROGRESS_STEP {
            told = received;
            ctx.fire(&Event::UpdateProgress { received, size: length });
        }
        // Between two pieces everything else has its turn, heartbeats above all.
        embassy_futures::yield_now().await;
    }
    if let Some(multipart) = multipart {
        multipart.finish().map_err(UploadError::Multipart)?;
    }
    let installed = loop {
        let step = installer.finish_step(&mut *flash.borrow_mut()).map_err(UploadError::Install)?;
        if let Some(installed) = step {
            break installed;
        }
        embassy_futures::yield_now().await;
    };
    let received = installer.progress().received;
    ctx.fire(&Event::UpdateProgress { received, size: received });
    ctx.log(format_args!("update: {} installed into slot {}", installed.header.version, installed.slot));
    claim.then = Update::Restarting;
    drop(claim);
    ctx.restart();
    Ok(installed)
}
