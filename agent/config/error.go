package config

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Error is what is wrong with a configuration, for a person.
type Error struct {
	// File and Line say where; Line is 0 where no line is at fault.
	File string
	Line int
	// Key is the key at fault, such as "event.pre_roll".
	Key string
	// What is wrong, and Hint what to do.
	What, Hint string
}

// Error is "FILE:LINE: what is wrong".
func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.What)
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.What)
}

// explain turns the TOML library's errors into ours.
func explain(name string, file []byte, err error) *Error {
	var missing *toml.StrictMissingError
	if errors.As(err, &missing) && len(missing.Errors) > 0 {
		first := missing.Errors[0]
		line, _ := first.Position()
		key := strings.Join(first.Key(), ".")
		e := &Error{File: name, Line: line, Key: key, What: fmt.Sprintf("unknown key %q", key)}
		if near := nearest(key, keys(reflect.TypeFor[Config](), "", anyType)); near != "" {
			e.Hint = fmt.Sprintf("did you mean %q?", near)
		} else {
			e.Hint = "docs/ref/config.md lists the keys"
		}
		return e
	}
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		line, _ := decode.Position()
		key := strings.Join(decode.Key(), ".")
		e := &Error{File: name, Line: line, Key: key, What: strings.TrimPrefix(decode.Error(), "toml: ")}
		if key != "" {
			e.What = key + ": " + e.What
			e.Hint = "docs/ref/config.md says what it takes"
		}
		return e
	}
	e := &Error{File: name, What: err.Error(), Hint: "docs/ref/config.md says what it takes"}
	if e.Key = bareNumber(file); e.Key != "" {
		e.Line, e.What = lineOf(file, e.Key), e.Key+": "+e.What
	}
	return e
}

// bareNumber finds the first key whose value should be text with a unit and is
// not. The TOML library does not say where it was.
func bareNumber(file []byte) string {
	var tables map[string]map[string]any
	if err := toml.Unmarshal(file, &tables); err != nil {
		return ""
	}
	for _, key := range keys(reflect.TypeFor[Config](), "", isUnitType) {
		table, name, _ := strings.Cut(key, ".")
		v, set := tables[table][name]
		if _, text := v.(string); set && !text {
			return key
		}
	}
	return ""
}

// isUnitType says that a key takes text with a unit.
func isUnitType(t reflect.Type) bool {
	return t == reflect.TypeFor[Duration]() || t == reflect.TypeFor[Size]()
}

// isTables says that a key is a list of tables.
func isTables(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct
}

func anyType(reflect.Type) bool { return true }

// keys lists the keys of a configuration's type whose own types are wanted.
func keys(t reflect.Type, prefix string, want func(reflect.Type) bool) []string {
	var out []string
	for i := range t.NumField() {
		f := t.Field(i)
		key := prefix + f.Tag.Get("toml")
		switch {
		case f.Type.Kind() == reflect.Struct && !isUnitType(f.Type):
			out = append(out, keys(f.Type, key+".", want)...)
		case isTables(f.Type):
			out = append(out, keys(f.Type.Elem(), key+".", want)...)
		case want(f.Type):
			out = append(out, key)
		}
	}
	return out
}

// nearest is the key that is at most three letters away, or "".
func nearest(key string, all []string) string {
	best, at := "", 4
	for _, k := range all {
		if d := distance(key, k); d < at {
			best, at = k, d
		}
	}
	return best
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// lineOf finds the line on which a key is set, or its table begins, 0 if neither is
// there. Of a list of tables the key says which: "motion.zone[1].name".
func lineOf(file []byte, key string) int {
	table, name, nth := splitKey(key)
	in, header := "", 0
	for i, line := range bytes.Split(file, []byte("\n")) {
		s := strings.TrimSpace(string(line))
		if t, ok := tableName(s); ok {
			if in = t; in == table {
				if nth == 0 {
					header = i + 1
				}
				nth--
			}
			continue
		}
		left, _, ok := strings.Cut(s, "=")
		left = strings.TrimSpace(left)
		here := in == table && nth < 0 && header > 0
		if ok && (here && left == name || in == "" && left == key) {
			return i + 1
		}
		if nth < -1 {
			break
		}
	}
	if strings.Contains(key, "[") {
		return header
	}
	return 0
}

// splitKey takes a key apart: "motion.zone[1].name" is name in the second of the
// tables motion.zone.
func splitKey(key string) (table, name string, nth int) {
	table, name, _ = strings.Cut(key, ".")
	if at := strings.LastIndex(key, "."); at >= 0 {
		table, name = key[:at], key[at+1:]
	}
	if open := strings.Index(table, "["); open >= 0 {
		if n, err := strconv.Atoi(strings.Trim(table[open:], "[]")); err == nil {
			nth = n
		}
		table = table[:open]
	}
	return table, name, nth
}

// tableName is the name of the table that a line begins.
func tableName(line string) (string, bool) {
	line, _, _ = strings.Cut(line, "#")
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "[") || !strings.HasSuffix(line, "]") {
		return "", false
	}
	name := strings.Trim(line, "[] ")
	return name, name != "" && !strings.ContainsAny(name, "[], 0123456789")
}
