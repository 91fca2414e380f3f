//! The screen: text drawn into memory, and what changed sent to the firmware's framebuffer.

use crate::firmware::{console_out, cpu, protocol};
use crate::screen_mode;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bootllm_platform::{Fact, Size};
use bootllm_terminal::{Painter, Screen, Update, WordWrap};
use core::slice;
use uefi::Handle;
use uefi::proto::console::gop::{BltOp, BltPixel, BltRegion, GraphicsOutput, ModeInfo};

/// A screen that pixels can be sent to.
pub struct ScreenOutput {
    device: Handle,
    resolution: (usize, usize),
    wrap: WordWrap,
    /// Reused, so that writing allocates nothing once it is large enough.
    wrapped: String,
    screen: Screen,
    painter: Painter,
}

impl ScreenOutput {
    /// Takes the screen, if there is one.
    pub fn open() -> Option<Self> {
        // The console's own device stands for all screens that the firmware shows text on.
        let device = console_out()
            .filter(|&device| protocol::has::<GraphicsOutput>(device))
            .or_else(protocol::first_device::<GraphicsOutput>)?;
        protocol::with::<GraphicsOutput, _>(device, choose_mode).ok()?;
        let resolution = resolution(device)?;
        let painter = Painter::new(resolution.0, resolution.1)?;
        let size = painter.size();
        let mut output = Self {
            device,
            resolution,
            wrap: WordWrap::new(size.columns),
            wrapped: String::new(),
            screen: Screen::new(size),
            painter,
        };
        // Nothing of what the firmware wrote shall remain.
        output.show();
        Some(output)
    }

    /// Columns and rows.
    pub fn size(&self) -> Size {
        self.painter.size()
    }

    /// Shows text.
    pub fn write(&mut self, text: &str) {
        self.wrapped.clear();
        self.wrap.write(text, &mut self.wrapped);
        self.screen.write(&self.wrapped);
        self.show();
    }

    /// Sets whether lines break between words.
    pub fn set_word_wrap(&mut self, on: bool) {
        self.wrap.set_on(on);
    }

    fn show(&mut self) {
        let update = self.painter.paint(&mut self.screen);
        let sent = resolution(self.device) == Some(self.resolution)
            && protocol::with::<GraphicsOutput, _>(self.device, |screen| send(screen, &update))
                .unwrap_or(false);
        if !sent {
            // Perhaps only this time: a monitor that was pulled out may come back.
            self.painter.restart();
        }
    }

    /// What screen it is.
    pub fn fact(&self) -> Fact {
        let (width, height) = self.resolution;
        let Size { columns, rows } = self.size();
        Fact {
            label: "screen",
            value: format!("{width} x {height} pixels, {columns} x {rows} characters"),
        }
    }
}

fn resolution(device: Handle) -> Option<(usize, usize)> {
    protocol::with::<GraphicsOutput, _>(device, |screen| screen.current_mode_info().resolution())
        .ok()
}

/// Changes to a better mode if there is one. If that fails, the present one will do.
fn choose_mode(screen: &mut GraphicsOutput) {
    let modes: Vec<_> = screen.modes().collect();
    let known: Vec<_> = modes.iter().map(|mode| described(mode.info())).collect();
    let current = described(&screen.current_mode_info());
    if let Some(better) = screen_mode::better(current, &known, cpu::is_virtual()) {
        let _ = screen.set_mode(&modes[better]);
    }
}

fn described(mode: &ModeInfo) -> screen_mode::Mode {
    let (width, height) = mode.resolution();
    screen_mode::Mode { width, height, pitch: mode.stride() }
}

/// Sends the changed pixels. False if the firmware refuses.
fn send(screen: &mut GraphicsOutput, update: &Update<'_>) -> bool {
    let buffer = blt_pixels(update.pixels);
    update.changed.iter().all(|changed| {
        let place = (changed.x, changed.y);
        let source = BltRegion::SubRectangle { coords: place, px_stride: update.stride };
        let dims = (changed.width, changed.height);
        screen.blt(BltOp::BufferToVideo { buffer, src: source, dest: place, dims }).is_ok()
    })
}

/// The same pixels as the firmware calls them.
fn blt_pixels(pixels: &[u32]) -> &[BltPixel] {
    const { assert!(size_of::<BltPixel>() == 4 && align_of::<BltPixel>() <= align_of::<u32>()) };
    // SAFETY: a pixel 0x00RRGGBB is the bytes blue, green, red, 0 on the little-endian machines
    // that UEFI is made for, which is what a `BltPixel` is; any bytes are a valid one. The slice
    // is as long and lives as long.
    unsafe { slice::from_raw_parts(pixels.as_ptr().cast(), pixels.len()) }
}
