package hub

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strconv"
	"time"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/seal"
)

const (
	grantLifetime = 15 * time.Minute
	grantKeyFile  = "grant-key"
	grantLabel    = "lensward/upload/1"
	uploadPath    = "/upload/v1/"
)

// Why a granted URL is not taken.
var (
	errGrantForm    = errors.New("not a granted URL")
	errGrantMAC     = errors.New("the grant was changed, or is another hub's")
	errGrantExpired = errors.New("the grant is over")
)

// grant allows one item to be put in its place until it expires.
type grant struct {
	ref     seal.Ref
	hash    seal.Hash
	size    int64 // bytes of the whole item
	expires int64 // seconds since 1970
}

// granter makes and reads granted URLs under a key that only the hub has.
type granter struct {
	key  []byte
	base string // scheme, host and port
}

// openGrantKey reads the key, or makes it where there is none. It is kept so
// that grants outlive the process.
func openGrantKey(dir *durable.Dir) ([]byte, error) {
	b, err := dir.ReadFile(grantKeyFile, 256)
	if errors.Is(err, fs.ErrNotExist) {
		key := make([]byte, sha256.Size)
		if _, err := rand.Read(key); err != nil {
			return nil, fmt.Errorf("make grant key: %w", err)
		}
		if err := dir.WriteFile(grantKeyFile, []byte(hex.EncodeToString(key)), 0o600); err != nil {
			return nil, fmt.Errorf("write grant key: %w", err)
		}
		return key, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read grant key: %w", err)
	}
	key, err := hex.DecodeString(string(b))
	if err != nil || len(key) != sha256.Size {
		return nil, fmt.Errorf("read grant key: %s is not %d hexadecimal digits", dir.Path(grantKeyFile), 2*sha256.Size)
	}
	return key, nil
}

func (g *granter) mac(gr grant) []byte {
	m := hmac.New(sha256.New, g.key)
	fmt.Fprintf(m, "%s\n%s\n%s\n%d\n%d\n", grantLabel, gr.ref, gr.hash, gr.size, gr.expires)
	return m.Sum(nil)
}

// url is the granted URL. It is a secret until it expires.
func (g *granter) url(gr grant) string {
	q := url.Values{
		"hash":    {gr.hash.String()},
		"size":    {strconv.FormatInt(gr.size, 10)},
		"expires": {strconv.FormatInt(gr.expires, 10)},
		"mac":     {base64.RawURLEncoding.EncodeToString(g.mac(gr))},
	}
	return g.base + uploadPath + gr.ref.String() + "?" + q.Encode()
}

// parse reads a granted URL's path (after uploadPath) and query, and checks that
// this hub made it and that it is not over.
func (g *granter) parse(path string, q url.Values, now time.Time) (grant, error) {
	var gr grant
	var err error
	if gr.ref, err = seal.ParseRef(path); err != nil {
		return grant{}, fmt.Errorf("%w: %w", errGrantForm, err)
	}
	if err := gr.hash.UnmarshalText([]byte(q.Get("hash"))); err != nil {
		return grant{}, fmt.Errorf("%w: %w", errGrantForm, err)
	}
	if gr.size, err = parseDecimal(q.Get("size")); err != nil {
		return grant{}, fmt.Errorf("%w: size: %w", errGrantForm, err)
	}
	if gr.expires, err = parseDecimal(q.Get("expires")); err != nil {
		return grant{}, fmt.Errorf("%w: expires: %w", errGrantForm, err)
	}
	var mac b64
	if err := mac.UnmarshalText([]byte(q.Get("mac"))); err != nil {
		return grant{}, fmt.Errorf("%w: mac: %w", errGrantForm, err)
	}
	if !hmac.Equal(mac, g.mac(gr)) {
		return grant{}, errGrantMAC
	}
	if now.Unix() >= gr.expires {
		return grant{}, errGrantExpired
	}
	return gr, nil
}

// parseDecimal reads a positive number up to 2^53-1 in its one usual spelling.
func parseDecimal(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, err
	}
	if n < 1 || n > 1<<53-1 || strconv.FormatInt(n, 10) != s {
		return 0, fmt.Errorf("%.32q is not a number of the usual spelling", s)
	}
	return n, nil
}
