package recovery

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
)

// IsStranger says that something else answered in the server's place, as the login page
// of a guest network does: with the certificate of another authority or for another
// name, or not in TLS at all. It lies between this camera and the server, and the server
// knows nothing of it.
func IsStranger(err error) bool {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var record tls.RecordHeaderError
	return errors.As(err, &authority) || errors.As(err, &name) || errors.As(err, &record)
}
