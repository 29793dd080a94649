//! As much of HTTP/1.1 as is needed to post bodies over one connection that stays open.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// Where to post.
pub struct Place {
    address: String,
    /// Everything of each request's head but the length.
    head: String,
}

impl Place {
    /// Takes an `http://host:port/path` apart.
    pub fn new(url: &str, token: Option<&str>) -> Result<Self, String> {
        let rest = url.strip_prefix("http://").ok_or_else(|| format!("`{url}` does not begin with http://"))?;
        let (address, path) = rest.split_once('/').ok_or_else(|| format!("`{url}` has no path"))?;
        let authorization = token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
        let head = format!("POST /{path} HTTP/1.1\r\nHost: {address}\r\n{authorization}");
        Ok(Self { address: address.to_owned(), head })
    }
}

/// An open connection.
pub struct Connection<'a> {
    place: &'a Place,
    stream: BufReader<TcpStream>,
}

impl<'a> Connection<'a> {
    pub fn open(place: &'a Place) -> io::Result<Self> {
        let stream = TcpStream::connect(&place.address)?;
        stream.set_nodelay(true)?;
        Ok(Self { place, stream: BufReader::new(stream) })
    }

    /// Posts a body, and returns the status and body of the answer.
    pub fn post(&mut self, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        let head = format!("{}Content-Length: {}\r\n\r\n", self.place.head, body.len());
        let stream = self.stream.get_mut();
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(|| strange(&line))?;
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            match line.split_once(':') {
                None => break,
                Some(("content-length", value)) => length = value.trim().parse().map_err(|_| strange(&line))?,
                Some(("transfer-encoding", value)) => chunked = value.trim() == "chunked",
                Some(_) => {}
            }
        }
        Ok((status, if chunked { self.chunks()? } else { self.bytes(length)? }))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    fn bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let length = line.split(';').next().unwrap_or_default();
            let length = usize::from_str_radix(length, 16).map_err(|_| strange(&line))?;
            body.extend(self.bytes(length)?);
            self.line()?;
            if length == 0 {
                return Ok(body);
            }
        }
    }
}

fn strange(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the server answered `{line}`"))
}
