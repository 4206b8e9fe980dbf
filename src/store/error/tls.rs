//! Why there is no TLS with a database server, and what to do.

use std::error::Error;

use rustls::{CertificateError, Error as Handshake};

/// Why a handshake failed.
pub(super) fn of_handshake(error: &Handshake) -> &'static str {
    use CertificateError as C;
    match error {
        Handshake::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
            "the database server's certificate is for another host name; name the host as the certificate does"
        }
        Handshake::InvalidCertificate(
            C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. },
        ) => {
            "the database server's certificate is not valid at this time; renew it, or set this machine's clock"
        }
        Handshake::InvalidCertificate(_) => {
            "the database server's certificate is not trusted; name its authority in sslrootcert"
        }
        Handshake::AlertReceived(_) => {
            "the database server ended the TLS handshake; check sslcert and sslkey, and its log"
        }
        _ => "no TLS came about with the database server; check its TLS settings",
    }
}

/// Why none was begun.
pub(super) fn of_setup(error: &(dyn Error + 'static)) -> &'static str {
    if let Some(handshake) = error.downcast_ref() {
        return of_handshake(handshake);
    }
    // The database library's words: it has no other sign of it.
    if error.to_string() == "server does not support TLS" {
        return "the database server offers no TLS, and sslmode asks for it; set ssl = on there";
    }
    "a file that sslrootcert, sslcert or sslkey names holds no certificate or key that can be used"
}
