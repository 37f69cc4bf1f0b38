package qr

// Ways is how many ways of looking there are.
func Ways() int { return len(ways()) }
