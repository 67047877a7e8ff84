//! New clients, over whose connections the layers of the server are being put.

use std::io;
use std::rc::Rc;

use super::Shared;
use super::shared::Client;
use crate::connection::Connection;
use crate::io::Io;

/// Starts the task that puts the layers over a connection and then serves it.
pub(super) fn enter(server: &Rc<Shared>, io: Io) {
    let entering = Entering::new(server);
    let key = entering.key;
    let task = async move {
        let peer = io.peer_address();
        if let Err(error) = entering.run(io).await {
            log::debug!(target: "asyncio", "no connection with {peer}: {error}");
        }
    };
    // The task must not run before the server knows it.
    let options = server.task_options().eager_start(false);
    // Only a closed loop refuses the call.
    if let Ok(task) = server.network().event_loop().spawn(task, options) {
        server.set_client(key, Client::Entering(Some(task.task().clone())));
    }
}

/// A guard for a client that counts as one of the server's and is not served yet.
struct Entering {
    server: Rc<Shared>,
    key: usize,
    is_in: bool,
}

impl Entering {
    fn new(server: &Rc<Shared>) -> Self {
        let key = server.admit(Client::Entering(None));
        Self { server: server.clone(), key, is_in: false }
    }

    async fn run(mut self, io: Io) -> io::Result<()> {
        let server = self.server.clone();
        let network = server.network();
        let io = server.layers.wrap(None, network, io, true).await?;
        let connection = Connection::new(network, io);
        self.is_in = true;
        server.set_client(self.key, Client::Stream(Rc::downgrade(&connection)));
        Shared::serve(&server, self.key, connection);
        Ok(())
    }
}

impl Drop for Entering {
    fn drop(&mut self) {
        if !self.is_in {
            self.server.turn_away(self.key);
        }
    }
}
