// Package systest holds the tests of the whole: devices, hubs and viewers put
// together, some in a synctest bubble, some as processes that are killed. It has
// no code that ships.
package systest
