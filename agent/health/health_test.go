package health_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/agent/health"
)

func TestConditionKeepsItsBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b health.Board
		if !b.Set("spool-full", health.Warning, "no room") {
			t.Error("a new condition is not new")
		}
		since := time.Now()
		time.Sleep(time.Minute)
		if b.Set("spool-full", health.Failure, "no room at all") {
			t.Error("a condition that holds is new")
		}
		b.Set("camera-failed", health.Failure, "unplugged")
		l := b.List()
		if len(l) != 2 || l[0].Name != "camera-failed" || !l[1].Since.Equal(since) || l[1].Cause != "no room at all" {
			t.Errorf("got %+v", l)
		}
		if !b.Clear("spool-full") || b.Clear("spool-full") || len(b.List()) != 1 {
			t.Error("clearing does not say what it did")
		}
	})
}
