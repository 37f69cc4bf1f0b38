package store

import "sync"

// memo remembers, in memory, what does not change. It forgets one or another of what it
// has when there is too much.
type memo[K comparable, V any] struct {
	most int

	mu  sync.Mutex
	has map[K]V
}

func (m *memo[K, V]) get(k K) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.has[k]
	return v, ok
}

func (m *memo[K, V]) put(k K, v V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.has == nil {
		m.has = make(map[K]V)
	}
	if _, ok := m.has[k]; !ok && len(m.has) >= m.most {
		for old := range m.has {
			delete(m.has, old)
			break
		}
	}
	m.has[k] = v
}
