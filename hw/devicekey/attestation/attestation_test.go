package attestation

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// vectorTime is when the vectors were made, with swtpm.
func vectorTime() time.Time { return time.Unix(1795523191, 0) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func vector(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	must(t, err)
	block, _ := pem.Decode(b)
	if block == nil {
		t.Fatalf("%s is not PEM", name)
	}
	return block.Bytes
}

func request(t testing.TB, name string) *x509.CertificateRequest {
	t.Helper()
	csr, err := x509.ParseCertificateRequest(vector(t, name))
	must(t, err)
	must(t, csr.CheckSignature())
	return csr
}

func makers(t testing.TB) *x509.CertPool {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "maker.pem"))
	must(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(b)
	return pool
}

func TestVectors(t *testing.T) {
	for name, want := range map[string]struct {
		protection   Protection
		endorsements int
	}{"file.csr.pem": {File, 0}, "tpm.csr.pem": {TPM, 1}} {
		csr := request(t, name)
		s, err := FromRequest(csr)
		must(t, err)
		if s.Protection != want.protection || len(s.Endorsements) != want.endorsements {
			t.Errorf("%s: protection %d, %d endorsements", name, s.Protection, len(s.Endorsements))
		}
		again, err := s.Extension()
		if err != nil || !bytes.Equal(again.Value, csr.Extensions[0].Value) || !again.Id.Equal(csr.Extensions[0].Id) {
			t.Errorf("%s: another encoding: %v", name, err)
		}
	}
	csr := request(t, "tpm.csr.pem")
	s, err := FromRequest(csr)
	must(t, err)
	claim, err := s.Check(csr.PublicKey.(*ecdsa.PublicKey), makers(t), vectorTime())
	must(t, err)
	if got, want := hex.EncodeToString(claim.name), "000bd787e21a9c831b431fec62d1fd0480bccb035d714de234e73d19bd1af060094d"; got != want {
		t.Errorf("the key's name is %s, not %s", got, want)
	}
	c, err := ParseChallenge(vector(t, "challenge.pem"))
	must(t, err)
	if c.Endorsement != sha256.Sum256(claim.Endorsement.Raw) || len(c.Secret) != 256 {
		t.Errorf("challenge %+v", c)
	}
	answer := NewChallenger([32]byte{1}).answer(claim, period(vectorTime()))
	if got, want := hex.EncodeToString(answer), "33d9a76a84dae0bbc2a22eda517a9e18bd06acee19f5564b93d7161493471574"; got != want {
		t.Errorf("the answer is %s, not %s", got, want)
	}
}

func TestRequestsThatSayNothingOrTooMuch(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	good, err := (&Statement{Protection: TPM, Endorsements: [][]byte{{1}}}).Extension()
	must(t, err)
	value := func(s statement) pkix.Extension {
		der, err := asn1.Marshal(s)
		must(t, err)
		return pkix.Extension{Id: good.Id, Value: der}
	}
	for name, c := range map[string]struct {
		extensions []pkix.Extension
		want       error
	}{
		"nothing":             {nil, ErrNone},
		"something else":      {[]pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte{5, 0}}}, ErrNone},
		"empty":               {[]pkix.Extension{{Id: good.Id}}, ErrMalformed},
		"rubbish":             {[]pkix.Extension{{Id: good.Id, Value: []byte("rubbish")}}, ErrMalformed},
		"more behind it":      {[]pkix.Extension{{Id: good.Id, Value: append(bytes.Clone(good.Value), 0)}}, ErrMalformed},
		"over its limit":      {[]pkix.Extension{{Id: good.Id, Value: make([]byte, maxExtension+1)}}, ErrMalformed},
		"version 2":           {[]pkix.Extension{value(statement{2, 2, nil})}, ErrMalformed},
		"protection 0":        {[]pkix.Extension{value(statement{1, 0, nil})}, ErrMalformed},
		"protection 3":        {[]pkix.Extension{value(statement{1, 3, nil})}, ErrMalformed},
		"a file, endorsed":    {[]pkix.Extension{value(statement{1, 1, [][]byte{{1}}})}, ErrMalformed},
		"five":                {[]pkix.Extension{value(statement{1, 2, [][]byte{{1}, {2}, {3}, {4}, {5}}})}, ErrMalformed},
		"an empty one":        {[]pkix.Extension{value(statement{1, 2, [][]byte{{}}})}, ErrMalformed},
		"one over its limit":  {[]pkix.Extension{value(statement{1, 2, [][]byte{make([]byte, MaxCertificate+1)}})}, ErrMalformed},
		"as much as there is": {[]pkix.Extension{value(statement{1, 2, [][]byte{make([]byte, MaxCertificate), make([]byte, MaxCertificate), make([]byte, MaxCertificate), make([]byte, MaxCertificate)}})}, nil},
	} {
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{ExtraExtensions: c.extensions}, key)
		must(t, err)
		csr, err := x509.ParseCertificateRequest(der)
		must(t, err)
		if _, err := FromRequest(csr); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	// crypto/x509 refuses two in one request; whoever parses otherwise does not get by.
	if _, err := FromRequest(&x509.CertificateRequest{Extensions: []pkix.Extension{good, good}}); !errors.Is(err, ErrMalformed) {
		t.Errorf("twice: %v", err)
	}
	for _, s := range []Statement{{}, {Protection: 3}, {Protection: File, Endorsements: [][]byte{{1}}}} {
		if _, err := s.Extension(); !errors.Is(err, ErrMalformed) {
			t.Errorf("%+v was encoded: %v", s, err)
		}
	}
}

// An endorsement key has a certificate for that use: no other certificate of the maker's
// will do, nor a key that the TCG's templates do not have.
func TestOtherCertificatesOfTheMaker(t *testing.T) {
	maker, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(t, err)
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "maker"}, NotAfter: vectorTime().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, root, root, maker.Public(), maker)
	must(t, err)
	parsed, err := x509.ParseCertificate(der)
	must(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	usage := []asn1.ObjectIdentifier{{2, 23, 133, 8, 1}}
	for name, c := range map[string]struct {
		key   any
		usage []asn1.ObjectIdentifier
		want  error
	}{
		"right":         {maker.Public(), usage, nil},
		"no usage":      {maker.Public(), nil, ErrUnproven},
		"another usage": {maker.Public(), []asn1.ObjectIdentifier{{2, 23, 133, 8, 3}}, ErrUnproven},
		"another curve": {other.Public(), usage, ErrUnproven},
	} {
		leaf := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: vectorTime().Add(time.Hour), UnknownExtKeyUsage: c.usage}
		der, err := x509.CreateCertificate(rand.Reader, leaf, root, c.key, maker)
		must(t, err)
		s := &Statement{Protection: TPM, Endorsements: [][]byte{der}}
		if _, err := s.Check(&maker.PublicKey, pool, vectorTime()); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := PublicArea(&other.PublicKey); err == nil {
		t.Error("a key on P-384 has a form")
	}
}

func FuzzStatement(f *testing.F) {
	for _, name := range []string{"file.csr.pem", "tpm.csr.pem"} {
		f.Add(request(f, name).Extensions[0].Value)
	}
	key := request(f, "tpm.csr.pem").PublicKey.(*ecdsa.PublicKey)
	pool := makers(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parse(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("error %v, want ErrMalformed", err)
			}
			return
		}
		again, err := s.Extension()
		if err != nil || !bytes.Equal(again.Value, data) {
			t.Errorf("a statement does not survive its own encoding: %v", err)
		}
		claim, err := s.Check(key, pool, vectorTime())
		if err != nil {
			if !errors.Is(err, ErrUnproven) {
				t.Errorf("error %v, want ErrUnproven", err)
			}
			return
		}
		if _, err := NewChallenger([32]byte{}).Challenge(claim, vectorTime()); err != nil {
			t.Error(err)
		}
	})
}

func FuzzChallenge(f *testing.F) {
	f.Add(vector(f, "challenge.pem"))
	f.Add([]byte{0x30, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseChallenge(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("error %v, want ErrMalformed", err)
			}
			return
		}
		again, err := asn1.Marshal(challenge{version, c.Endorsement[:], c.Credential, c.Secret})
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("a challenge does not survive its own encoding: %v", err)
		}
	})
}
