//! Parquet: rows turned into columns, group by group, so that memory does not grow with the file.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::{Row, Rows};

/// The columns' names are those of the view `usage_monthly`.
const SCHEMA: &str = "message usage {
    REQUIRED BYTE_ARRAY organization (STRING);
    REQUIRED BYTE_ARRAY region (STRING);
    REQUIRED BYTE_ARRAY meter (STRING);
    REQUIRED BYTE_ARRAY month (STRING);
    REQUIRED INT64 value (INTEGER(64, false));
}";
/// organization, region, meter.
const SORTED_COLUMNS: i32 = 3;

/// A group is written when it has so many rows or so many bytes of text: some tens of MB of memory
/// at most. A reader that looks for one organization skips all groups but one.
const GROUP_ROWS: usize = 128 << 10;
const GROUP_BYTES: usize = 16 << 20;

pub struct Columns<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    group: Group,
}

#[derive(Default)]
struct Group {
    organization: Vec<ByteArray>,
    region: Vec<ByteArray>,
    meter: Vec<ByteArray>,
    month: Vec<ByteArray>,
    value: Vec<i64>,
    bytes: usize,
}

impl<W: Write + Send> Columns<W> {
    pub fn new(out: W) -> io::Result<Self> {
        let schema = Arc::new(parse_message_type(SCHEMA).map_err(failed)?);
        let sorted = |column_idx| SortingColumn { column_idx, descending: false, nulls_first: false };
        let properties = WriterProperties::builder()
            .set_created_by(concat!("odometer ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_sorting_columns(Some((0..SORTED_COLUMNS).map(sorted).collect()))
            .build();
        let writer = SerializedFileWriter::new(out, schema, Arc::new(properties)).map_err(failed)?;
        Ok(Self { writer, group: Group::default() })
    }

    fn write_group(&mut self) -> io::Result<()> {
        let Group { organization, region, meter, month, value, .. } = std::mem::take(&mut self.group);
        let mut group = self.writer.next_row_group().map_err(failed)?;
        for texts in [organization, region, meter, month] {
            write_column::<ByteArrayType, W>(&mut group, &texts)?;
        }
        write_column::<Int64Type, W>(&mut group, &value)?;
        group.close().map(drop).map_err(failed)
    }
}

impl<W: Write + Send> Rows for Columns<W> {
    fn write(&mut self, row: Row<'_>) -> io::Result<()> {
        let group = &mut self.group;
        group.bytes += row.organization.len() + row.region.len() + row.meter.len();
        group.organization.push(row.organization.into());
        group.region.push(row.region.into());
        group.meter.push(row.meter.into());
        group.month.push(row.month.into());
        // Parquet keeps an unsigned number in the bits of a signed one.
        group.value.push(row.value.cast_signed());
        if group.value.len() == GROUP_ROWS || group.bytes >= GROUP_BYTES {
            self.write_group()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        if !self.group.value.is_empty() {
            self.write_group()?;
        }
        let mut out = self.writer.into_inner().map_err(failed)?;
        out.flush()
    }
}

fn write_column<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
) -> io::Result<()> {
    let column = group.next_column().map_err(failed)?;
    let mut column = column.ok_or_else(|| io::Error::other("the schema has fewer columns"))?;
    column.typed::<T>().write_batch(values, None, None).map_err(failed)?;
    column.close().map_err(failed)
}

fn failed(error: ParquetError) -> io::Error {
    io::Error::other(error)
}
