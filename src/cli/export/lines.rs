//! CSV and NDJSON: a line for each row.

use std::io::{self, Write};

use super::{Row, Rows};
use crate::http::csv_field;

/// RFC 4180, with a header.
pub struct Csv<W>(W);

impl<W: Write> Csv<W> {
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(b"organization,region,meter,month,value\r\n")?;
        Ok(Self(out))
    }
}

impl<W: Write> Rows for Csv<W> {
    fn write(&mut self, row: Row<'_>) -> io::Result<()> {
        let Row { organization, region, meter, month, value } = row;
        let (organization, region, meter) = (csv_field(organization), csv_field(region), csv_field(meter));
        write!(self.0, "{organization},{region},{meter},{month},{value}\r\n")
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.0.flush()
    }
}

/// One JSON object a line.
pub struct Ndjson<W>(W);

impl<W: Write> Ndjson<W> {
    pub fn new(out: W) -> Self {
        Self(out)
    }
}

impl<W: Write> Rows for Ndjson<W> {
    fn write(&mut self, row: Row<'_>) -> io::Result<()> {
        serde_json::to_writer(&mut self.0, &row)?;
        self.0.write_all(b"\n")
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.0.flush()
    }
}
