package agent

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/agent/config"
	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/source"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/spool"
)

// newAgent is an agent whose camera is what open gives.
func newAgent(t *testing.T, url string, open func(context.Context) (capture.Source, source.Info, error)) *Agent {
	t.Helper()
	return openAgent(t, open, func(c *config.Config) { c.Camera.Source = url })
}

// openAgent is an agent with a configuration that change has changed.
func openAgent(t *testing.T, open func(context.Context) (capture.Source, source.Info, error), change func(*config.Config)) *Agent {
	t.Helper()
	c := config.Default()
	c.State.Dir, c.State.Key = filepath.Join(t.TempDir(), "camera"), "file"
	change(&c)
	a, err := New(t.Context(), c, Options{Firmware: "test", OpenSource: open, NoControl: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

func (a *Agent) ails(name string) bool {
	for _, c := range a.health.List() {
		if c.Name == name {
			return true
		}
	}
	return false
}

// TestSlowDiskCostsClipsOnly fills the queue of drafts: from a live camera, parts
// of clips are lost and said so; thumbnails and records wait.
func TestSlowDiskCostsClipsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent(t, "scene:", nil)
		drafts := make(chan sighting, 1)
		put := a.sink(drafts, 1, true)
		kept, err := put(t.Context(), seal.Draft{Kind: seal.KindClip})
		if !kept || err != nil {
			t.Fatalf("the first part was not kept: %v", err)
		}
		kept, err = put(t.Context(), seal.Draft{Kind: seal.KindClip})
		if kept || err != nil || !a.ails("disk-slow") {
			t.Errorf("the second part: kept %v, %v", kept, err)
		}
		go func() {
			time.Sleep(time.Minute)
			<-drafts
		}()
		before := time.Now()
		if kept, err := put(t.Context(), seal.Draft{Kind: seal.KindThumbnail}); !kept || err != nil || time.Since(before) != time.Minute {
			t.Errorf("the thumbnail: kept %v, %v after %v", kept, err, time.Since(before))
		}
		<-drafts
		if kept, _ := put(t.Context(), seal.Draft{Kind: seal.KindClip}); !kept || a.ails("disk-slow") {
			t.Error("a part that found room did not clear the condition")
		}
	})
}

// TestBudgetsAgree holds the configuration's defaults to the spool's: whoever
// changes one changes both.
func TestBudgetsAgree(t *testing.T) {
	c, s := config.Default().Spool, spool.DefaultBudgets()
	if c.Clips.Bytes != s.Clips || c.Thumbnails.Bytes != s.Thumbnails || c.Records.Bytes != s.Records || c.Reserve.Bytes != s.Reserve {
		t.Errorf("the configuration's defaults are %+v, the spool's %+v", c, s)
	}
}
