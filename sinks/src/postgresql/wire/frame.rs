//! Messages of the protocol: a letter, a length, a body.

use throughline_core::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};

use super::error::Failure;

/// No message that we ask for is nearly as long.
const LONGEST: usize = 64 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    Authentication,
    ParameterStatus,
    KeyData,
    Ready,
    RowDescription,
    DataRow,
    Complete,
    EmptyQuery,
    CopyIn,
    Error,
    Notice,
    Notification,
    Other(u8),
}

impl From<u8> for Tag {
    fn from(letter: u8) -> Self {
        match letter {
            b'R' => Self::Authentication,
            b'S' => Self::ParameterStatus,
            b'K' => Self::KeyData,
            b'Z' => Self::Ready,
            b'T' => Self::RowDescription,
            b'D' => Self::DataRow,
            b'C' => Self::Complete,
            b'I' => Self::EmptyQuery,
            b'G' => Self::CopyIn,
            b'E' => Self::Error,
            b'N' => Self::Notice,
            b'A' => Self::Notification,
            other => Self::Other(other),
        }
    }
}

pub(super) struct Frames<S> {
    stream: BufReader<S>,
    out: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream: BufReader::with_capacity(1 << 14, stream), out: Vec::new() }
    }

    /// The one message without a letter.
    pub(super) fn startup(&mut self, parameters: &[(&str, &str)]) -> Result<(), Failure> {
        let mut body = 196_608_i32.to_be_bytes().to_vec();
        for (name, value) in parameters {
            if value.contains('\0') {
                return Err(Failure::permanent(Error::config(format!("{name} holds a NUL character"))));
            }
            for part in [name, value] {
                body.extend_from_slice(part.as_bytes());
                body.push(0);
            }
        }
        body.push(0);
        self.out.extend_from_slice(&length(body.len())?);
        self.out.extend_from_slice(&body);
        Ok(())
    }

    pub(super) fn write(&mut self, letter: u8, body: &[u8]) -> Result<(), Failure> {
        self.out.push(letter);
        self.out.extend_from_slice(&length(body.len())?);
        self.out.extend_from_slice(body);
        Ok(())
    }

    /// A large message, without a copy of it.
    pub(super) async fn write_through(&mut self, letter: u8, body: &[u8]) -> Result<(), Failure> {
        self.out.push(letter);
        self.out.extend_from_slice(&length(body.len())?);
        self.flush().await?;
        self.stream.write_all(body).await.map_err(lost)
    }

    pub(super) async fn flush(&mut self) -> Result<(), Failure> {
        self.stream.write_all(&self.out).await.map_err(lost)?;
        self.out.clear();
        self.stream.flush().await.map_err(lost)
    }

    pub(super) async fn read(&mut self) -> Result<(Tag, Vec<u8>), Failure> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head).await.map_err(lost)?;
        let [letter, a, b, c, d] = head;
        let length = usize::try_from(i32::from_be_bytes([a, b, c, d])).ok().and_then(|n| n.checked_sub(4));
        let length = length
            .filter(|n| *n <= LONGEST)
            .ok_or_else(|| protocol("a message of an impossible length: is this a PostgreSQL server?"))?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.map_err(lost)?;
        Ok((Tag::from(letter), body))
    }
}

fn length(body: usize) -> Result<[u8; 4], Failure> {
    let length = i32::try_from(body + 4);
    length.map(i32::to_be_bytes).map_err(|_| Failure::permanent(Error::bug("a message beyond 2 GB")))
}

fn lost(e: std::io::Error) -> Failure {
    Failure::lost(if e.kind() == std::io::ErrorKind::UnexpectedEof {
        "the server closed the connection".to_owned()
    } else {
        e.to_string()
    })
}

pub(super) fn protocol(what: impl std::fmt::Display) -> Failure {
    Failure::permanent(Error::protocol(format!("PostgreSQL's protocol: {what}")))
}

/// The values of a DataRow.
pub(super) fn row(body: &[u8]) -> Result<Vec<Option<String>>, Failure> {
    let cut = || protocol("a row that is cut");
    let (count, mut rest) = body.split_first_chunk::<2>().ok_or_else(cut)?;
    let count = u16::from_be_bytes(*count);
    let mut values = Vec::with_capacity(count.into());
    for _ in 0..count {
        let (length, after) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        let length = i32::from_be_bytes(*length);
        if length == -1 {
            values.push(None);
            rest = after;
            continue;
        }
        let (value, after) =
            usize::try_from(length).ok().and_then(|n| after.split_at_checked(n)).ok_or_else(cut)?;
        values.push(Some(String::from_utf8_lossy(value).into_owned()));
        rest = after;
    }
    Ok(values)
}

/// The number at the end of a command's tag: `INSERT 0 12`, `COPY 500`; 0 when there is none.
pub(super) fn touched(body: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(body);
    let last = text.trim_end_matches('\0').rsplit(' ').next().unwrap_or_default();
    last.parse().unwrap_or(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_tags_are_read_and_cut_ones_refused() {
        let whole = [0, 2, 0, 0, 0, 2, b'a', b'b', 0xff, 0xff, 0xff, 0xff];
        assert_eq!(row(&whole).unwrap(), [Some("ab".to_owned()), None]);
        for cut in 0..whole.len() {
            assert!(row(&whole[..cut]).is_err(), "{cut}");
        }
        assert!(row(&[0, 1, 0x80, 0, 0, 0]).is_err());
        assert_eq!((touched(b"INSERT 0 12\0"), touched(b"COPY 5\0"), touched(b"BEGIN\0")), (12, 5, 0));
    }

    #[tokio::test]
    async fn what_is_no_postgresql_is_told() {
        let (mut server, client) = tokio::io::duplex(64);
        server.write_all(b"HTTP/1.1 400 Bad Request\r\n").await.unwrap();
        let error = Frames::new(client).read().await.unwrap_err();
        assert!(error.into_error().to_string().contains("is this a PostgreSQL server?"));
    }
}
