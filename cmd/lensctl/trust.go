package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
)

// maxCertificates bounds a file of certificates, in bytes: several times what a system has.
const maxCertificates = 1 << 20

// readPool reads a file of certificates (PEM); what they are is for errors.
func readPool(what, name string) (*x509.CertPool, error) {
	pem, err := readAll(name, maxCertificates)
	if err == nil && len(pem) > maxCertificates {
		err = fmt.Errorf("%s has more than %d bytes", name, maxCertificates)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read %s: no certificate in %s", what, name)
	}
	return pool, nil
}

// trustIn is the TLS configuration that trusts the certificates in a file; nil, for the
// system's, where none is named.
func trustIn(ca string) (*tls.Config, error) {
	if ca == "" {
		return nil, nil
	}
	pool, err := readPool("CA", ca)
	if err != nil {
		return nil, err
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

// hubClient trusts the certificates in a file, or the system's. It follows no redirect.
func hubClient(ca string) (*http.Client, error) {
	trust, err := trustIn(ca)
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Transport: &http.Transport{
			ForceAttemptHTTP2: true, Proxy: http.ProxyFromEnvironment, MaxResponseHeaderBytes: 16 << 10, TLSClientConfig: trust,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}
