package encode

import (
	"bytes"
	"image/jpeg"
	"testing"
	"time"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/jpegdc"
)

// photo is a picture of 1280×720 that is as hard to encode as a camera's: about
// 40 KB as a JPEG. It is smooth, with edges and some noise.
func photo(layout capture.Layout) *capture.Raw {
	r := rawBars(layout, 1280, 720, 0, false)
	step := 1
	if layout == capture.LayoutYUYV {
		step = 2
	}
	noise := uint32(1)
	for y := range 720 {
		for x := range 1280 {
			noise = noise*1664525 + 1013904223
			v := 60 + (x+2*y)/30 + int(noise>>30)
			if x/160%2 == y/180%2 {
				v += 40
			}
			r.Planes[0][y*r.Strides[0]+x*step] = byte(v)
		}
	}
	return r
}

// BenchmarkMJPEG is a whole picture of 1280×720: conversion, JPEG and, every third
// time, the preview's grid.
func BenchmarkMJPEG(b *testing.B) {
	for _, layout := range append(layouts(), capture.LayoutGrey) {
		b.Run(layout.String(), func(b *testing.B) {
			r := photo(layout)
			size, n := 0, 0
			s, err := New(b.Context(), nil, Settings{Want: MJPEG, Width: 1280, Height: 720, Layout: layout, FPS: 30})
			if err != nil {
				b.Fatal(err)
			}
			j := newJPEGs(s.settings)
			done := make(chan struct{}, 1)
			ended := make(chan error, 1)
			go func() {
				ended <- j.run(b.Context(), func(f capture.Frame) { size = len(f.Data); done <- struct{}{} })
			}()
			p, err := takeApart(r)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := j.take(r, p, n%3 == 0); err != nil {
					b.Fatal(err)
				}
				n++
				<-done
			}
			j.finish()
			if err := <-ended; err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(size), "B/frame")
		})
	}
}

// BenchmarkConvert is what the camera's goroutine does for H.264: the copy into
// 4:2:0, and the small picture with its grid.
func BenchmarkConvert(b *testing.B) {
	for _, layout := range layouts() {
		r := photo(layout)
		p, err := takeApart(r)
		if err != nil {
			b.Fatal(err)
		}
		d := newDesk(1280, 720)
		img := d.sheet().img
		full := toFull()
		var box shrinker
		b.Run(layout.String()+"/copy", func(b *testing.B) {
			for b.Loop() {
				box.into(img, p, 1, nil)
			}
		})
		b.Run(layout.String()+"/full range", func(b *testing.B) {
			for b.Loop() {
				box.into(img, p, 1, full)
			}
		})
		b.Run(layout.String()+"/preview", func(b *testing.B) {
			for b.Loop() {
				box.smallPicture(p, full)
			}
		})
	}
}

// BenchmarkGrid compares a grid of raw luma with one of the JPEG.
func BenchmarkGrid(b *testing.B) {
	r := photo(capture.LayoutI420)
	p, err := takeApart(r)
	if err != nil {
		b.Fatal(err)
	}
	d := newDesk(1280, 720)
	img := d.sheet().img
	var box shrinker
	box.into(img, p, 1, toFull())
	luma := componentsOf(img).luma
	b.Run("raw", func(b *testing.B) {
		for b.Loop() {
			box.grid(luma, cellSide, nil)
		}
	})
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: jpegQuality}); err != nil {
		b.Fatal(err)
	}
	b.Run("jpegdc", func(b *testing.B) {
		var d jpegdc.Decoder
		for b.Loop() {
			if _, err := d.Decode(buf.Bytes()); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(buf.Len()), "B/frame")
	})
}

// BenchmarkFFmpeg is a picture of 1280×720 there and back, one at a time: its time
// is how late a frame is.
func BenchmarkFFmpeg(b *testing.B) {
	r := photo(capture.LayoutI420)
	s, err := New(b.Context(), nil, Settings{Want: FFmpeg, Width: 1280, Height: 720, Layout: r.Layout, FPS: 30})
	if err != nil {
		b.Fatal(err)
	}
	h := newHelper(s)
	done := make(chan struct{}, 1)
	ended := make(chan error, 1)
	go func() { ended <- h.run(b.Context(), func(capture.Frame) { done <- struct{}{} }) }()
	p, err := takeApart(r)
	if err != nil {
		b.Fatal(err)
	}
	give := func() {
		r.Planes[0][0]++
		r.Time = r.Time.Add(time.Second / 30)
		if err := h.take(r, p, r.Seq%3 == 0); err != nil {
			b.Fatal(err)
		}
		r.Seq++
		<-done
	}
	give() // the child's start is no part of it
	b.ReportAllocs()
	for b.Loop() {
		give()
	}
	h.finish()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}

// TestBenchmarkPicture keeps the benchmark's picture honest.
func TestBenchmarkPicture(t *testing.T) {
	r := photo(capture.LayoutI420)
	p, err := takeApart(r)
	if err != nil {
		t.Fatal(err)
	}
	img := newDesk(1280, 720).sheet().img
	var box shrinker
	box.into(img, p, 1, toFull())
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: jpegQuality}); err != nil {
		t.Fatal(err)
	}
	if buf.Len() < 30_000 || buf.Len() > 60_000 {
		t.Errorf("the benchmark's picture has %d bytes as a JPEG, want about 40,000", buf.Len())
	}
}
