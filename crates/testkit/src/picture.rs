use anyhow::{Context, Result, ensure};

/// What a screen shows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Picture {
    width: usize,
    height: usize,
    /// Red, green, blue; row by row.
    pixels: Vec<[u8; 3]>,
}

impl Picture {
    /// Of an X window dump with four bytes for each pixel, blue first: what Xvfb keeps its screen in.
    pub fn of_xwd(bytes: &[u8]) -> Result<Self> {
        let head = |at: usize| {
            let word = bytes.get(at * 4..).and_then(<[u8]>::first_chunk).context("a head")?;
            Ok::<_, anyhow::Error>(usize::try_from(u32::from_be_bytes(*word))?)
        };
        ensure!(head(11)? == 32 && head(7)? == 0, "another form of pixels");
        let (width, height, line, start) =
            (head(4)?, head(5)?, head(12)?, head(0)? + head(19)? * 12);
        let rows = bytes.get(start..).context("pixels")?.chunks_exact(line).take(height);
        let row = |row: &[u8]| {
            let pixels = row.chunks_exact(4).take(width);
            pixels.map(|pixel| [pixel[2], pixel[1], pixel[0]]).collect::<Vec<_>>()
        };
        let pixels: Vec<_> = rows.flat_map(row).collect();
        ensure!(pixels.len() == width * height, "a part of the picture is missing");
        Ok(Self { width, height, pixels })
    }

    /// The share of pixels that look alike here and there: what a codec for pictures changes of a
    /// colour is not seen. Pictures of other measures are not alike.
    pub fn likeness(&self, other: &Self) -> f64 {
        if (self.width, self.height) != (other.width, other.height) {
            return 0.0;
        }
        let pairs = self.pixels.iter().zip(&other.pixels);
        let alike = pairs.filter(|(one, other)| alike(one, other)).count();
        #[expect(clippy::cast_precision_loss, reason = "a share of a few million")]
        {
            alike as f64 / self.pixels.len() as f64
        }
    }

    /// Whether a colour is in it.
    pub fn has(&self, colour: [u8; 3]) -> bool {
        self.pixels.iter().any(|pixel| alike(pixel, &colour))
    }

    /// As an uncompressed file that most programs show (PPM).
    pub fn ppm(&self) -> Vec<u8> {
        let mut file = format!("P6 {} {} 255\n", self.width, self.height).into_bytes();
        file.extend(self.pixels.iter().flatten());
        file
    }
}

fn alike(one: &[u8; 3], other: &[u8; 3]) -> bool {
    one.iter().zip(other).all(|(one, other)| one.abs_diff(*other) <= UNSEEN)
}

const UNSEEN: u8 = 8;
