package motion

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/lensward/lensward/capture"
)

// Sensitivity is how faint a change may be to count. Values are explicit because
// they appear in logs.
type Sensitivity uint8

// The sensitivities. The zero value stands for Normal.
const (
	// Off: nothing counts.
	Off Sensitivity = 1
	// Low: a dark coat before a light wall. For a street, a garden, a noisy sensor.
	Low Sensitivity = 2
	// Normal: most coats before most walls.
	Normal Sensitivity = 3
	// High: a grey coat before a grey wall, and now and then a shadow.
	High Sensitivity = 4
)

// String returns the word that the configuration has for it.
func (s Sensitivity) String() string {
	switch s {
	case Off:
		return "off"
	case Low:
		return "low"
	case 0, Normal:
		return "normal"
	case High:
		return "high"
	default:
		return "unknown sensitivity"
	}
}

// least is the smallest change that counts, in luma.
func (s Sensitivity) least() float32 {
	switch s {
	case Off:
		return math.MaxFloat32
	case Low:
		return 11
	case High:
		return 5.5
	default:
		return 8
	}
}

// Settings say what counts as motion. The zero value of a field means its
// default; DefaultSettings has them written out.
type Settings struct {
	// Sensitivity holds wherever no zone says otherwise. Default Normal.
	Sensitivity Sensitivity

	// Zones are parts of the picture with a sensitivity of their own. Where two
	// overlap, the later one counts. Default none; at most 32.
	Zones []Zone

	// Smallest is the height of the smallest person that counts, as a share of the
	// picture's height, above 0 and below 1. What covers as little as such a person
	// does, two fifths as wide as high, counts too, whatever its shape; at least four
	// 8×8 blocks. Default 0.07.
	Smallest float64

	// Confirm is how long something must be seen moving before it is motion. Longer
	// means fewer false alarms from insects and rain, and a later start. Default
	// 0.4 s; at least 0.35 s, at most 1 minute.
	Confirm time.Duration

	// Stand is how long what came into the picture may be without the least movement
	// before it belongs to the scene: a parked car, a moved chair, a parcel. People
	// never are. Default 1 minute; 2 s to 1 hour.
	Stand time.Duration

	// Learn is how long the picture is only learnt, after the start and after a
	// change of the whole scene. Nothing is reported meanwhile. Default 1 s; at most
	// one minute.
	Learn time.Duration
}

// Zone is a part of the picture with its own sensitivity.
type Zone struct {
	Name        string
	Area        capture.Area
	Sensitivity Sensitivity
}

// The bounds of Settings.
const (
	shortestConfirm = 350 * time.Millisecond
	longestTime     = time.Minute
	shortestStand   = 2 * time.Second
	longestStand    = time.Hour
	maxZones        = 32
	slender         = 0.4 // a standing person's width as a part of their height
)

// DefaultSettings returns settings for a room, a yard or a door.
func DefaultSettings() Settings {
	return Settings{
		Sensitivity: Normal,
		Smallest:    0.07,
		Confirm:     400 * time.Millisecond,
		Stand:       time.Minute,
		Learn:       time.Second,
	}
}

// Validate says what is wrong with the settings, all of it at once.
func (s Settings) Validate() error {
	s = s.withDefaults()
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if s.Sensitivity > High {
		bad("sensitivity %d is not known", s.Sensitivity)
	}
	if !(s.Smallest > 0 && s.Smallest < 1) {
		bad("smallest %v is not a share of the picture's height between 0 and 1", s.Smallest)
	}
	if s.Confirm < shortestConfirm || s.Confirm > longestTime {
		bad("confirm %v is not between %v and %v", s.Confirm, shortestConfirm, longestTime)
	}
	if s.Stand < shortestStand || s.Stand > longestStand {
		bad("stand %v is not between %v and %v", s.Stand, shortestStand, longestStand)
	}
	if s.Learn < 0 || s.Learn > longestTime {
		bad("learn %v is not at most %v", s.Learn, longestTime)
	}
	if len(s.Zones) > maxZones {
		bad("%d zones, the limit is %d", len(s.Zones), maxZones)
	}
	for _, z := range s.Zones {
		if z.Sensitivity > High {
			bad("zone %q: sensitivity %d is not known", z.Name, z.Sensitivity)
		}
		if err := z.Area.Validate(); err != nil {
			bad("zone %q: %w", z.Name, err)
		}
	}
	return errors.Join(errs...)
}

// withDefaults returns s with its zero fields filled in.
func (s Settings) withDefaults() Settings {
	d := DefaultSettings()
	if s.Sensitivity == 0 {
		s.Sensitivity = d.Sensitivity
	}
	if s.Smallest == 0 {
		s.Smallest = d.Smallest
	}
	if s.Confirm == 0 {
		s.Confirm = d.Confirm
	}
	if s.Stand == 0 {
		s.Stand = d.Stand
	}
	if s.Learn == 0 {
		s.Learn = d.Learn
	}
	return s
}

// zones is for each block of a grid the zone that it lies in, counted from 1 and 0
// for none, and the smallest change that counts in it.
func (s Settings) zones(width, height int) (zone []uint8, least []float32) {
	zone, least = make([]uint8, width*height), make([]float32, width*height)
	for i := range zone {
		level := s.Sensitivity
		at := capture.Point{
			X: (float64(i%width) + 0.5) / float64(width),
			Y: (float64(i/width) + 0.5) / float64(height),
		}
		for k, z := range s.Zones {
			if z.Area.Contains(at) {
				zone[i], level = uint8(k+1), z.Sensitivity
			}
		}
		least[i] = level.least()
	}
	return zone, least
}

// blocks is how many blocks of a grid the smallest thing covers.
func (s Settings) blocks(height int) int {
	h := s.Smallest * float64(height)
	return max(4, int(slender*h*h+0.5))
}
