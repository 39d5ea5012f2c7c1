//! `POST /api/node/update`: streams an image into the free slot.

use super::exchange::{Small, reply};
use super::small;
use crate::context::Context;
use crate::state::Update;
use core::cell::RefCell;
use core::fmt;
use embassy_net::tcp::TcpSocket;
use embassy_time::{Duration, with_timeout};
use embedded_storage::nor_flash::NorFlash;
use spore_boot::{InstallError, InstallFault, Installer};
use spore_core::events::Event;
use spore_image::FlashMap;
use spore_sentence::say;
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
            Self::Busy => say!(f, "another update is under way; wait until it has ended"),
            Self::Empty => say!(f, "the body is empty; send an image, raw or as multipart/form-data"),
            Self::TooLarge(slot) => {
                say!(f, "larger than the slot, which takes images of at most ", slot, " bytes")
            }
            Self::Interrupted { received } => {
                say!(f, "the upload broke off after ", received, " bytes; send it again")
            }
            Self::Multipart(error) => error.fmt(f),
            Self::Install(error) => error.fmt(f),
        }
    }
}

/// How much a multipart body may be larger than the image in it.
const ENVELOPE: u32 = 2048;

/// An installation under way, with its envelope if it has one.
struct Upload {
    installer: heapless::Vec<Installer, 1>,
    multipart: heapless::Vec<Multipart, 1>,
}

/// The place of the one installation that may be under way: nothing but zero bytes when there is none.
pub struct Place(RefCell<Upload>);

impl Place {
    /// No installation.
    pub const fn new() -> Self {
        Self(RefCell::new(Upload { installer: heapless::Vec::new(), multipart: heapless::Vec::new() }))
    }
}

/// Marks the node as busy with an update while it lives; what comes after is what it is dropped with.
struct Claim<'c, 'a> {
    ctx: &'c Context<'a>,
    place: &'c Place,
    then: Update,
}

impl Drop for Claim<'_, '_> {
    fn drop(&mut self) {
        let then = self.then;
        self.place.0.borrow_mut().installer.clear();
        self.ctx.with(|state| state.update = then);
    }
}

/// The answer to an upload that was refused.
pub fn refused(error: &UploadError, buffer: &mut [u8]) -> Small {
    let mut reply = reply(buffer);
    reply.error(error.status(), error);
    Small::of(reply, None)
}

/// Begins to receive a body of `length` bytes. If that succeeds, [`receive`] must follow.
///
/// # Errors
/// [`UploadError`]; nothing has changed then.
#[inline(never)]
pub fn begin<F: NorFlash>(
    ctx: &Context<'_>,
    flash: &RefCell<F>,
    place: &Place,
    content_type: Option<&str>,
    length: u32,
) -> Result<(), UploadError> {
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
        Ok((map, state.identity.board, state.boot.slot))
    })?;
    Installer::may_begin(&mut *flash.borrow_mut(), &map, running).map_err(UploadError::Install)?;
    let upload = &mut *place.0.borrow_mut();
    upload.multipart.clear();
    if let Some(boundary) = content_type.and_then(boundary_of) {
        let multipart = Multipart::new(boundary).map_err(UploadError::Multipart)?;
        // It was cleared.
        let _ = upload.multipart.push(multipart);
    }
    upload.installer.clear();
    let _ = upload.installer.push(Installer::new(&map, board, running));
    ctx.with(|state| state.update = Update::Receiving { received: 0, size: length });
    Ok(())
}

/// Receives the body that [`begin`] has begun. On success the image runs at the next start, which has been ordered. Gives the
/// answer, and whether the body was read to its end.
pub async fn receive<F: NorFlash>(
    ctx: &Context<'_>,
    flash: &RefCell<F>,
    place: &Place,
    length: u32,
    socket: &mut TcpSocket<'_>,
    buffer: &mut [u8],
) -> (Small, bool) {
    let mut claim = Claim { ctx, place, then: Update::Idle };
    let mut left = length;
    let mut told = 0;
    while left > 0 {
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let (piece, _) = buffer.split_at_mut(wanted);
        let result = match with_timeout(STALL, socket.read(piece)).await {
            Ok(Ok(count @ 1..)) => {
                left = left.saturating_sub(u32::try_from(count).unwrap_or(u32::MAX));
                take(ctx, flash, place, piece.get(..count).unwrap_or_default(), length, &mut told)
            }
            _ => Err(interrupted(place)),
        };
        if let Err(error) = result {
            return (refused(&error, buffer), left == 0);
        }
        // Between two pieces everything else has its turn, heartbeats above all.
        embassy_futures::yield_now().await;
    }
    if let Err(error) = envelope(place) {
        return (refused(&error, buffer), true);
    }
    let small = loop {
        if let Some((small, installed)) = finish(ctx, flash, place, buffer) {
            if installed {
                claim.then = Update::Restarting;
            }
            break small;
        }
        embassy_futures::yield_now().await;
    };
    if claim.then == Update::Restarting {
        drop(claim);
        ctx.restart();
    }
    (small, true)
}

/// Why an upload ended that has not come whole.
fn interrupted(place: &Place) -> UploadError {
    let received = place.0.borrow().installer.first().map_or(0, |installer| installer.progress().received);
    UploadError::Interrupted { received }
}

/// Takes the next bytes of the body; tells of the progress now and then.
#[inline(never)]
fn take<F: NorFlash>(
    ctx: &Context<'_>,
    flash: &RefCell<F>,
    place: &Place,
    bytes: &[u8],
    length: u32,
    told: &mut u32,
) -> Result<(), UploadError> {
    let mut place = place.0.borrow_mut();
    let Upload { installer, multipart } = &mut *place;
    let Some(installer) = installer.first_mut() else { return Err(UploadError::Busy) };
    let mut result = Ok(());
    let mut write = |bytes: &[u8]| {
        if result.is_ok() {
            result = installer.write_all(&mut *flash.borrow_mut(), bytes);
        }
    };
    match multipart.first_mut() {
        None => write(bytes),
        Some(multipart) => multipart.feed(bytes, &mut write).map_err(UploadError::Multipart)?,
    }
    result.map_err(UploadError::Install)?;
    let received = installer.progress().received;
    drop(place);
    ctx.with(|state| state.update = Update::Receiving { received, size: length });
    if received >= *told + PROGRESS_STEP {
        *told = received;
        ctx.fire(&Event::UpdateProgress { received, size: length });
    }
    Ok(())
}

/// Whether the body was as its envelope says.
fn envelope(place: &Place) -> Result<(), UploadError> {
    let multipart = place.0.borrow_mut().multipart.pop();
    multipart.map_or(Ok(()), |multipart| multipart.finish().map_err(UploadError::Multipart))
}

/// One step of the check of what was written; the answer once it is over, and whether the image was installed.
#[inline(never)]
fn finish<F: NorFlash>(
    ctx: &Context<'_>,
    flash: &RefCell<F>,
    place: &Place,
    buffer: &mut [u8],
) -> Option<(Small, bool)> {
    let mut place = place.0.borrow_mut();
    let Some(installer) = place.installer.first_mut() else {
        return Some((refused(&UploadError::Busy, buffer), false));
    };
    match installer.finish_step(&mut *flash.borrow_mut()) {
        Ok(true) => {}
        Ok(false) => return None,
        Err(error) => return Some((refused(&UploadError::Install(error), buffer), false)),
    }
    let small = installed(ctx, installer, buffer);
    let received = installer.progress().received;
    drop(place);
    ctx.fire(&Event::UpdateProgress { received, size: received });
    Some((small, true))
}

/// The answer to an upload that was installed.
#[inline(never)]
fn installed(ctx: &Context<'_>, installer: &Installer, buffer: &mut [u8]) -> Small {
    let mut reply = reply(buffer);
    if let Some(header) = installer.installed() {
        ctx.log(format_args!("update: {} installed into slot {}", header.version, installer.slot()));
        small::installed(&mut reply, installer.slot(), header);
    }
    Small::of(reply, None)
}
