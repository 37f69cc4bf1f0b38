//go:build linux

package guest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ticksPerSecond is the unit of times in /proc/PID/stat: USER_HZ, 100 on every
// architecture of Linux that there is today.
const ticksPerSecond = 100

// Census is Client.Census.
func (s *service) Census(pid int, out *Census) error {
	c, err := readCensus(filepath.Join("/proc", strconv.Itoa(pid)))
	*out = c
	return err
}

// readCensus reads what is told of a process in its directory.
func readCensus(dir string) (c Census, err error) {
	files, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		return c, fmt.Errorf("count files: %w", err)
	}
	c.Files = len(files)
	for _, f := range files {
		if to, err := os.Readlink(filepath.Join(dir, "fd", f.Name())); err == nil && strings.HasPrefix(to, "/dev/video") {
			c.Videos++
		}
	}
	maps, err := os.ReadFile(filepath.Join(dir, "maps"))
	if err != nil {
		return c, fmt.Errorf("count maps: %w", err)
	}
	c.Maps = strings.Count(string(maps), " /dev/video")
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return c, fmt.Errorf("read process: %w", err)
	}
	return c, c.parseStat(string(stat))
}

// parseStat reads the fields of proc(5)'s stat after the name, which is in brackets
// and may have any character in it: utime is number 14, stime 15, threads 20, rss 24.
func (c *Census) parseStat(stat string) error {
	_, after, ok := strings.Cut(stat[max(0, strings.LastIndexByte(stat, ')')):], ") ")
	fields := strings.Fields(after)
	if !ok || len(fields) < 22 {
		return fmt.Errorf("read process: %d fields", len(fields))
	}
	var numbers [4]int64
	for i, at := range []int{14, 15, 20, 24} {
		n, err := strconv.ParseInt(fields[at-3], 10, 64)
		if err != nil {
			return fmt.Errorf("read process: field %d: %w", at, err)
		}
		numbers[i] = n
	}
	c.CPU = time.Duration(numbers[0]+numbers[1]) * time.Second / ticksPerSecond
	c.Threads = int(numbers[2])
	c.Resident = numbers[3] * int64(os.Getpagesize())
	return nil
}
