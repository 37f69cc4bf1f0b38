package household

import (
	"crypto/sha256"
	_ "embed" // the list of words
	"fmt"
	"slices"
	"strings"
)

// english is BIP-39's English list: 2,048 words in the order of the alphabet, no two with
// the same first four letters.
//
//go:embed english.txt
var english string

const (
	secretWords = 24
	wordBits    = 11
	maxWords    = 512 // characters that are read
)

// words writes 32 bytes as BIP-39 does: their bits and 8 of their hash's, 11 to a word.
func words(secret [32]byte) string {
	list := strings.Fields(english)
	sum := sha256.Sum256(secret[:])
	bits := append(slices.Clone(secret[:]), sum[0])
	out := make([]string, secretWords)
	for i := range out {
		n := 0
		for at := i * wordBits; at < (i+1)*wordBits; at++ {
			n = n<<1 | int(bits[at/8]>>(7-at%8)&1)
		}
		out[i] = list[n]
	}
	return strings.Join(out, " ")
}

// parseWords reads what words writes, in any case and with any white space. It names a
// word that is wrong by its place: the word itself may be half of a secret.
func parseWords(text string) ([32]byte, error) {
	var secret [32]byte
	if len(text) > maxWords {
		return secret, fmt.Errorf("%d characters, at most %d", len(text), maxWords)
	}
	said := strings.Fields(strings.ToLower(text))
	if len(said) != secretWords {
		return secret, fmt.Errorf("%d words, not %d", len(said), secretWords)
	}
	list := strings.Fields(english)
	bits := make([]byte, len(secret)+1)
	for i, word := range said {
		n, known := slices.BinarySearch(list, word)
		if !known {
			return secret, fmt.Errorf("word %d is not in the list", i+1)
		}
		for b := range wordBits {
			at := i*wordBits + b
			bits[at/8] |= byte(n>>(wordBits-1-b)&1) << (7 - at%8)
		}
	}
	copy(secret[:], bits)
	if sum := sha256.Sum256(secret[:]); sum[0] != bits[len(secret)] {
		return [32]byte{}, fmt.Errorf("the words do not fit together: one is another, or two are swapped")
	}
	return secret, nil
}
