package household

import (
	"errors"
	"fmt"

	"github.com/lensward/lensward/transport/statement"
)

// asleep says whether a member's recipient is too old to be wrapped to: what is wrapped
// to it must not outlive the retention because the member never came back.
func (s *Statement) asleep(m Member) bool {
	return m.Since+(s.Rotation+s.Retention).Milliseconds() < s.Created
}

// wrap makes a statement's keys: the current period's identity for all who are awake,
// and what is kept of earlier ones for those whose keys are in past.
func (s *Statement) wrap(held Identities, past map[string]bool) ([]byte, error) {
	current, ok := held.For(s.Recipient)
	if !ok {
		return nil, fmt.Errorf("period %d: %w", s.Current().Number, ErrLocked)
	}
	var all, some []string
	for _, m := range s.Members {
		if s.asleep(m) {
			continue
		}
		all = append(all, m.Recipient)
		if past[string(m.Key)] {
			some = append(some, m.Recipient)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no member has a recipient that is young enough: %w", ErrField)
	}
	file, err := encrypt(Identities{current}.File(), all)
	if err != nil {
		return nil, err
	}
	files := [][]byte{file}
	var earlier Identities
	for _, p := range s.Periods[:len(s.Periods)-1] {
		if id, ok := held.of(p.Recipient); ok {
			earlier = append(earlier, id)
		}
	}
	if len(some) > 0 && len(earlier) > 0 {
		file, err := encrypt(earlier.File(), some)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return statement.Marshal(files)
}

// Open gives the identities that the statement's keys hold for the holder of a member's
// identities. ErrLocked means that there are none for it, or no keys at all.
func (s *Signed) Open(member Identities) (Identities, error) {
	if s.keys == nil {
		return nil, fmt.Errorf("open household keys: they were taken away: %w", ErrLocked)
	}
	var files [][]byte
	if err := statement.Unmarshal(s.keys, &files); err != nil || len(files) < 1 || len(files) > 2 {
		return nil, fmt.Errorf("open household keys: not one or two age files: %w", ErrKeys)
	}
	var out Identities
	for i, file := range files {
		ids, err := s.openFile(file, member)
		if errors.Is(err, ErrLocked) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("open household keys: %w: %w", ErrKeys, err)
		}
		if _, ok := ids.For(s.Recipient); i == 0 && !ok {
			return nil, fmt.Errorf("open household keys: the current period's identity is not in them: %w", ErrKeys)
		}
		out = out.With(ids...)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("open household keys: %w", ErrLocked)
	}
	return out, nil
}

func (s *Signed) openFile(file []byte, member Identities) (Identities, error) {
	plain, err := decrypt(file, maxIdentities, member.Age())
	if err != nil {
		return nil, err
	}
	ids, err := ParseIdentities(plain)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if _, ok := s.PeriodOf(id.recipient); !ok {
			return nil, errors.New("an identity of no period that is listed")
		}
	}
	return ids, nil
}
