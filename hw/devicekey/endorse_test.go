package devicekey

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/lensward/lensward/hw/devicekey/attestation"
	"github.com/lensward/lensward/hw/devicekey/swtpmtest"
)

// requested is what an authority reads from a certificate request of this key.
func requested(t testing.TB, key *Key) *attestation.Statement {
	t.Helper()
	statement, err := key.Statement(t.Context())
	must(t, err)
	extension, err := statement.Extension()
	must(t, err)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: idOf(key.SPKI())}, ExtraExtensions: []pkix.Extension{extension},
	}, key)
	must(t, err)
	t.Logf("a request of %d bytes", len(der))
	csr, err := x509.ParseCertificateRequest(der)
	must(t, err)
	must(t, csr.CheckSignature())
	got, err := attestation.FromRequest(csr)
	must(t, err)
	return got
}

func makers(t testing.TB, pem []byte) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatal("no maker's certificate")
	}
	return pool
}

func public(key *Key) *ecdsa.PublicKey { return key.Public().(*ecdsa.PublicKey) }

// endorseECC gives a TPM the certificate of a P-256 endorsement key, as most have one
// and swtpm_setup makes none.
func endorseECC(t testing.TB, tpm *swtpmtest.TPM) *x509.CertPool {
	t.Helper()
	conn := tpm.Open()
	ek, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(tpm2.ECCEKTemplate)}.Execute(conn)
	must(t, err)
	area, err := ek.OutPublic.Contents()
	must(t, err)
	point, err := area.Unique.ECC()
	must(t, err)
	must(t, flush(conn, ek.ObjectHandle))
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, point.X.Buffer...), point.Y.Buffer...))
	must(t, err)
	maker, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "maker"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	root, err := x509.CreateCertificate(rand.Reader, template, template, maker.Public(), maker)
	must(t, err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), UnknownExtKeyUsage: []asn1.ObjectIdentifier{{2, 23, 133, 8, 1}},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, leaf, template, key, maker)
	must(t, err)
	store := append(bytes.Clone(certificate), make([]byte, 100)...) // TPMs leave room behind it
	_, err = tpm2.NVDefineSpace{
		AuthHandle: tpm2.TPMRHOwner,
		PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{
			NVIndex: endorsements()[0].index, NameAlg: tpm2.TPMAlgSHA256, DataSize: uint16(len(store)),
			Attributes: tpm2.TPMANV{OwnerWrite: true, OwnerRead: true, AuthRead: true, NoDA: true},
		}),
	}.Execute(conn)
	must(t, err)
	named, err := tpm2.NVReadPublic{NVIndex: endorsements()[0].index}.Execute(conn)
	must(t, err)
	for at := 0; at < len(store); at += nvChunk {
		_, err = tpm2.NVWrite{
			AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)},
			NVIndex:    tpm2.NamedHandle{Handle: endorsements()[0].index, Name: named.NVName},
			Data:       tpm2.TPM2BMaxNVBuffer{Buffer: store[at:min(len(store), at+nvChunk)]}, Offset: uint16(at),
		}.Execute(conn)
		must(t, err)
	}
	must(t, conn.Close())
	parsed, err := x509.ParseCertificate(root)
	must(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return pool
}

// The whole of it: a request, the maker's certificate in it, a challenge, its answer.
func TestTPMProvesItself(t *testing.T) {
	rsaTPM, maker := swtpmtest.NewEndorsed(t)
	eccTPM := swtpmtest.New(t)
	for name, c := range map[string]struct {
		tpm    *swtpmtest.TPM
		makers *x509.CertPool
	}{
		"RSA, by swtpm_setup": {rsaTPM, makers(t, maker)},
		"ECC":                 {eccTPM, endorseECC(t, eccTPM)},
	} {
		t.Run(name, func(t *testing.T) {
			key := open(t, t.TempDir(), c.tpm)
			statement := requested(t, key)
			if statement.Protection != attestation.TPM || len(statement.Endorsements) != 1 {
				t.Fatalf("protection %d, %d endorsements", statement.Protection, len(statement.Endorsements))
			}
			now := time.Now()
			claim, err := statement.Check(public(key), c.makers, now)
			must(t, err)
			authority := attestation.NewChallenger([32]byte{1})
			challenge, err := authority.Challenge(claim, now)
			must(t, err)
			answer, err := key.Answer(t.Context(), challenge)
			must(t, err)
			if len(answer) != attestation.AnswerSize {
				t.Errorf("an answer of %d bytes", len(answer))
			}
			for after, want := range map[time.Duration]bool{0: true, attestation.Period: true, 2 * attestation.Period: false, -attestation.Period: false} {
				if got := authority.Check(claim, answer, now.Add(after)); got != want {
					t.Errorf("after %v the answer counts: %v", after, got)
				}
			}
			if attestation.NewChallenger([32]byte{2}).Check(claim, answer, now) || authority.Check(claim, nil, now) {
				t.Error("a wrong answer counts")
			}
			verifies(t, key) // it signs as before
		})
	}
}

// Who does not have the key in that TPM cannot answer: not the same TPM for another of
// its keys, nor another TPM, nor a key that was made elsewhere.
func TestOnlyTheKeysOwnTPMAnswers(t *testing.T) {
	tpm := swtpmtest.New(t)
	pool := endorseECC(t, tpm)
	key, sibling := open(t, t.TempDir(), tpm), open(t, t.TempDir(), swtpmtest.New(t))
	statement := requested(t, key)
	now := time.Now()
	authority := attestation.NewChallenger([32]byte{1})
	challenge := func(pub *ecdsa.PublicKey) []byte {
		claim, err := statement.Check(pub, pool, now)
		must(t, err)
		b, err := authority.Challenge(claim, now)
		must(t, err)
		return b
	}
	software, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	// A thief of the certificate, with a key of their own.
	for name, pub := range map[string]*ecdsa.PublicKey{"in software": &software.PublicKey, "in another TPM": public(sibling)} {
		if _, err := key.Answer(t.Context(), challenge(pub)); !errors.Is(err, tpm2.TPMRCIntegrity) {
			t.Errorf("the TPM answers for a key %s: %v", name, err)
		}
		if _, err := sibling.Answer(t.Context(), challenge(pub)); err == nil {
			t.Errorf("another TPM answers for a key %s", name)
		}
	}
	good := challenge(public(key))
	for at := range good {
		spoilt := bytes.Clone(good)
		spoilt[at] ^= 1
		if answer, err := key.Answer(t.Context(), spoilt); err == nil {
			t.Errorf("a challenge that is spoilt at byte %d was answered: %x", at, answer)
		}
	}
	if _, err := key.Answer(t.Context(), good); err != nil {
		t.Errorf("the good one, after all those: %v", err)
	}
}

// A TPM takes anybody's public key, with whatever attributes it is said to have. It
// must not answer for one whose private half it does not have.
func TestPublicHalfDoesNotAnswer(t *testing.T) {
	tpm := swtpmtest.New(t)
	pool := endorseECC(t, tpm)
	statement := requested(t, open(t, t.TempDir(), tpm))
	software, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	claim, err := statement.Check(&software.PublicKey, pool, time.Now())
	must(t, err)
	b, err := attestation.NewChallenger([32]byte{1}).Challenge(claim, time.Now())
	must(t, err)
	challenge, err := attestation.ParseChallenge(b)
	must(t, err)
	area, err := attestation.PublicArea(&software.PublicKey)
	must(t, err)
	conn := tpm.Open()
	loaded, err := tpm2.LoadExternal{InPublic: tpm2.New2B(*area), Hierarchy: tpm2.TPMRHNull}.Execute(conn)
	must(t, err)
	if answer, err := endorsements()[0].activate(conn, authorised(loaded.ObjectHandle, loaded.Name), challenge); err == nil {
		t.Errorf("it answered %x", answer)
	} else {
		t.Log(err)
	}
	must(t, flush(conn, loaded.ObjectHandle))
	must(t, conn.Close())
}

func TestNobodyVouches(t *testing.T) {
	endorsed, maker := swtpmtest.NewEndorsed(t)
	key := open(t, t.TempDir(), endorsed)
	statement := requested(t, key)
	plain := requested(t, open(t, t.TempDir(), swtpmtest.New(t)))
	inFile, err := LoadOrCreate(t.TempDir())
	must(t, err)
	file := requested(t, inFile)
	if plain.Protection != attestation.TPM || len(plain.Endorsements) != 0 || file.Protection != attestation.File {
		t.Errorf("statements %+v and %+v", plain, file)
	}
	if _, err := inFile.Answer(t.Context(), nil); err == nil {
		t.Error("a key in a file answers challenges")
	}
	pool := makers(t, maker)
	for name, check := range map[string]func() (*attestation.Claim, error){
		"no certificate":  func() (*attestation.Claim, error) { return plain.Check(public(key), pool, time.Now()) },
		"a key in a file": func() (*attestation.Claim, error) { return file.Check(public(inFile), pool, time.Now()) },
		"another maker": func() (*attestation.Claim, error) {
			return statement.Check(public(key), x509.NewCertPool(), time.Now())
		},
		"before its time": func() (*attestation.Claim, error) { return statement.Check(public(key), pool, time.Unix(1e9, 0)) },
		"another document": func() (*attestation.Claim, error) {
			return (&attestation.Statement{Protection: attestation.TPM, Endorsements: [][]byte{[]byte("rubbish")}}).Check(public(key), pool, time.Now())
		},
	} {
		if _, err := check(); !errors.Is(err, attestation.ErrUnproven) {
			t.Errorf("%s: %v, want ErrUnproven", name, err)
		}
	}
}
