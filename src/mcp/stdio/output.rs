//! The one task that writes to the client.

use std::io;

use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    task::JoinHandle,
};

/// Lines that may wait for a slow client before answers wait too.
const WAITING: usize = 256;

/// Starts the writer; it ends when every sender is gone and all is written.
pub(super) fn spawn<W>(stdout: W) -> (mpsc::Sender<Vec<u8>>, JoinHandle<io::Result<()>>)
where
    W: AsyncWrite + Send + Unpin + 'static,
{
    let (sender, lines) = mpsc::channel(WAITING);
    (sender, tokio::spawn(write(stdout, lines)))
}

/// Writes what waits in one go, so that many answers cost one system call.
async fn write<W: AsyncWrite + Unpin>(mut stdout: W, mut lines: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    let mut batch = Vec::new();
    while lines.recv_many(&mut batch, WAITING).await > 0 {
        match &batch[..] {
            [one] => stdout.write_all(one).await?,
            many => stdout.write_all(&many.concat()).await?,
        }
        stdout.flush().await?;
        batch.clear();
    }
    Ok(())
}
