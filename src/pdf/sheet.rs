//! A4 pages that text and lines are put on, from the top down; lengths are points (1/72 inch).

use std::sync::LazyLock;

use krilla::color::rgb;
use krilla::error::KrillaError;
use krilla::geom::{PathBuilder, Point};
use krilla::metadata::Metadata;
use krilla::num::NormalizedF32;
use krilla::page::PageSettings;
use krilla::paint::{Fill, Stroke};
use krilla::text::{Font, TextDirection};
use krilla::{Document, SerializeSettings};
use ttf_parser::Face;

/// A4.
const WIDTH: f32 = 595.28;
const HEIGHT: f32 = 841.89;
pub const MARGIN: f32 = 56.0;
pub const RIGHT: f32 = WIDTH - MARGIN;
/// Below this only a page's foot is written.
pub const BOTTOM: f32 = HEIGHT - 84.0;
const FOOT: f32 = HEIGHT - 44.0;

const REGULAR: &[u8] = include_bytes!("../../assets/fonts/Inter-Regular.ttf");
const SEMI_BOLD: &[u8] = include_bytes!("../../assets/fonts/Inter-SemiBold.ttf");

/// How a text looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Style {
    pub size: f32,
    pub bold: bool,
    pub quiet: bool,
}

impl Style {
    pub const fn plain(size: f32) -> Self {
        Self { size, bold: false, quiet: false }
    }

    pub const fn bold(size: f32) -> Self {
        Self { size, bold: true, quiet: false }
    }

    pub const fn quiet(size: f32) -> Self {
        Self { size, bold: false, quiet: true }
    }

    fn typeface(self) -> &'static Typeface {
        if self.bold { &TYPEFACES[1] } else { &TYPEFACES[0] }
    }

    pub fn width(self, text: &str) -> f32 {
        let face = &self.typeface().face;
        let advance = |letter| {
            let glyph = face.glyph_index(letter).unwrap_or_default();
            f32::from(face.glyph_hor_advance(glyph).unwrap_or(0))
        };
        text.chars().map(advance).sum::<f32>() / f32::from(face.units_per_em()) * self.size
    }

    /// The text in lines that are no wider than `width`, broken between words where it can be.
    pub fn wrap(self, text: &str, width: f32) -> Vec<String> {
        let mut lines: Vec<String> = vec![String::new()];
        for word in text.split_whitespace() {
            let line = lines.last_mut().expect("there is a line from the beginning on");
            let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
            match self.width(&longer) <= width {
                true => *line = longer,
                false if line.is_empty() => lines.extend(self.cut(word, width)),
                false => lines.extend(self.cut(word, width)),
            }
        }
        lines.retain(|line| !line.is_empty());
        lines
    }

    /// A word in pieces that fit.
    fn cut(self, word: &str, width: f32) -> Vec<String> {
        let mut pieces = vec![String::new()];
        for letter in word.chars() {
            let piece = pieces.last_mut().expect("there is a piece from the beginning on");
            piece.push(letter);
            if self.width(piece) > width && piece.chars().count() > 1 {
                piece.pop();
                pieces.push(letter.to_string());
            }
        }
        pieces
    }
}

struct Typeface {
    font: Font,
    face: Face<'static>,
}

static TYPEFACES: LazyLock<[Typeface; 2]> = LazyLock::new(|| {
    [REGULAR, SEMI_BOLD].map(|data| Typeface {
        font: Font::new(data.into(), 0).expect("our own font is sound; a test reads it"),
        face: Face::parse(data, 0).expect("our own font is sound; a test reads it"),
    })
});

enum Mark {
    Text { x: f32, y: f32, style: Style, text: String },
    Rule { y: f32, from: f32, to: f32 },
}

/// What is written so far, page by page.
pub struct Sheet {
    pages: Vec<Vec<Mark>>,
    /// Where the next line goes.
    pub y: f32,
}

impl Sheet {
    pub fn new() -> Self {
        Self { pages: vec![Vec::new()], y: MARGIN }
    }

    fn put(&mut self, mark: Mark) {
        self.pages.last_mut().expect("there is a page from the beginning on").push(mark);
    }

    pub fn turn(&mut self) {
        self.pages.push(Vec::new());
        self.y = MARGIN;
    }

    /// A text whose line stands at `y`.
    pub fn text(&mut self, x: f32, y: f32, style: Style, text: &str) {
        self.put(Mark::Text { x, y, style, text: text.to_owned() });
    }

    /// A text that ends at `x`.
    pub fn text_to(&mut self, x: f32, y: f32, style: Style, text: &str) {
        self.text(x - style.width(text), y, style, text);
    }

    pub fn rule(&mut self, y: f32, from: f32, to: f32) {
        self.put(Mark::Rule { y, from, to });
    }

    /// The document; each page has `foot` and its number at its end.
    pub fn finish(mut self, metadata: Metadata, foot: &str) -> Result<Vec<u8>, KrillaError> {
        let count = self.pages.len();
        let style = Style::quiet(7.5);
        for (place, page) in self.pages.iter_mut().enumerate() {
            let number = format!("Page {} of {count}", place + 1);
            let x = RIGHT - style.width(&number);
            page.push(Mark::Text { x: MARGIN, y: FOOT, style, text: foot.to_owned() });
            page.push(Mark::Text { x, y: FOOT, style, text: number });
        }
        let mut document = Document::new_with(SerializeSettings::default());
        document.set_metadata(metadata);
        for marks in self.pages {
            let settings = PageSettings::from_wh(WIDTH, HEIGHT).expect("A4 has a size");
            let mut page = document.start_page_with(settings);
            let mut surface = page.surface();
            for mark in &marks {
                draw(&mut surface, mark);
            }
            surface.finish();
            page.finish();
        }
        document.finish()
    }
}

fn draw(surface: &mut krilla::surface::Surface<'_>, mark: &Mark) {
    match mark {
        Mark::Text { x, y, style, text } => {
            let colour = if style.quiet { rgb::Color::new(86, 98, 95) } else { rgb::Color::new(22, 32, 30) };
            let fill = Fill { paint: colour.into(), opacity: NormalizedF32::ONE, rule: Default::default() };
            surface.set_fill(Some(fill));
            surface.set_stroke(None);
            let font = style.typeface().font.clone();
            surface.draw_text(Point::from_xy(*x, *y), font, style.size, text, false, TextDirection::Auto);
        }
        Mark::Rule { y, from, to } => {
            let mut path = PathBuilder::new();
            path.move_to(*from, *y);
            path.line_to(*to, *y);
            let Some(path) = path.finish() else { return };
            let paint = rgb::Color::new(214, 219, 216).into();
            surface.set_fill(None);
            surface.set_stroke(Some(Stroke { paint, width: 0.6, ..Stroke::default() }));
            surface.draw_path(&path);
        }
    }
}
