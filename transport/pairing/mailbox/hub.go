package mailbox

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/lensward/lensward/transport/seal"
)

const (
	maxCA  = 16 << 10
	maxHub = 4 << 10
)

// ErrWrongHub means that a certificate is not that of the hub whose ID is known.
var ErrWrongHub = errors.New("the certificate is not that of the hub that the code names")

// Dial opens a connection; nil is TCP. For tests.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// FetchCA gets a hub's CA certificate, PEM, from host:port of its HTTPS listener for
// devices. The connection proves nothing; the certificate is refused (ErrWrongHub) unless
// the hash of its key is the hub's ID.
func FetchCA(ctx context.Context, dial Dial, address string, hub seal.ID) ([]byte, error) {
	b, err := fetchCA(ctx, dial, address, hub)
	if err != nil {
		return nil, fmt.Errorf("fetch the hub's certificate from %s: %w", address, err)
	}
	return b, nil
}

func fetchCA(ctx context.Context, dial Dial, address string, hub seal.ID) ([]byte, error) {
	// What comes is checked against the hub's ID, whoever sent it.
	b, err := get(ctx, dial, address, "/ca", &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}, maxCA)
	if err != nil {
		return nil, err
	}
	return CheckCA(b, hub)
}

// CheckCA reads a PEM file that must hold one certificate, of the hub's CA, and returns
// it in its usual form, without anything around it.
func CheckCA(b []byte, hub seal.ID) ([]byte, error) {
	block, rest := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" || len(rest) != 0 {
		return nil, fmt.Errorf("%w: not one PEM certificate", ErrAnswer)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if seal.KeyID(cert.RawSubjectPublicKeyInfo) != hub {
		return nil, ErrWrongHub
	}
	if !cert.IsCA || !cert.BasicConstraintsValid {
		return nil, fmt.Errorf("%w: the certificate is no authority's", ErrAnswer)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes}), nil
}

// Where is what a hub says of its listeners for devices.
type Where struct {
	// Broker is host:port of its MQTT listener.
	Broker string
}

// FetchWhere asks the hub at host:port of its HTTPS listener for devices where its broker
// is. ca is its CA certificate, as FetchCA gives it.
func FetchWhere(ctx context.Context, dial Dial, address string, ca []byte) (Where, error) {
	w, err := fetchWhere(ctx, dial, address, ca)
	if err != nil {
		return Where{}, fmt.Errorf("ask the hub at %s where its broker is: %w", address, err)
	}
	return w, nil
}

func fetchWhere(ctx context.Context, dial Dial, address string, ca []byte) (Where, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return Where{}, errors.New("the CA certificate is not PEM")
	}
	b, err := get(ctx, dial, address, "/hub", &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, maxHub)
	if err != nil {
		return Where{}, err
	}
	return parseWhere(b)
}

func parseWhere(b []byte) (Where, error) {
	var said struct {
		MQTT string `json:"mqtt"`
	}
	if err := json.Unmarshal(b, &said); err != nil {
		return Where{}, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if !isAddress(said.MQTT) {
		return Where{}, fmt.Errorf("%w: %.80q is not host:port", ErrAnswer, said.MQTT)
	}
	return Where{Broker: said.MQTT}, nil
}

// get fetches a small file of the listener for devices.
func get(ctx context.Context, dial Dial, address, path string, c *tls.Config, limit int) ([]byte, error) {
	if !isAddress(address) {
		return nil, errors.New("not host:port")
	}
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	transport := &http.Transport{
		DialContext: dial, TLSClientConfig: c, TLSHandshakeTimeout: 10 * time.Second,
		MaxResponseHeaderBytes: maxCA, DisableCompression: true, DisableKeepAlives: true,
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+path, nil)
	if err != nil {
		return nil, err
	}
	return ask(still(&http.Client{Transport: transport}), req, http.StatusOK, limit)
}
