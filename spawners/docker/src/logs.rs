//! The end of what a container wrote.

use bollard::errors::Error;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::StreamExt;

use crate::engine::{Engine, status};

/// So many bytes are read at most.
const LARGEST: usize = 1 << 20;

impl Engine {
    /// The last lines; empty where there are none, or no container.
    pub async fn tail(&self, id: &str, lines: usize) -> Result<String, Error> {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail(&lines.to_string()).build();
        let mut stream = self.client()?.logs(id, Some(options));
        let mut bytes = Vec::new();
        while let Some(said) = stream.next().await {
            match said {
                Ok(said) => bytes.extend_from_slice(said.as_ref()),
                Err(error) if matches!(status(&error), Some(404 | 409)) => break,
                // Another way of logging than files may not be readable.
                Err(error) if status(&error).is_some() => {
                    tracing::debug!("no log: {error}");
                    break;
                }
                Err(error) => return Err(error),
            }
            if bytes.len() > LARGEST {
                break;
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        let skipped = text.lines().count().saturating_sub(lines);
        Ok(text.lines().skip(skipped).collect::<Vec<_>>().join("\n"))
    }
}
