package sfu

import "time"

// Put makes a room that stays until Delete, or gives one that is there these
// settings and makes it stay. The limit of Config.MaxRooms is the caller's to
// keep: whoever puts a room has decided that it is there. ErrName, ErrClosed.
func (rs *Rooms) Put(name string, s Settings) error {
	if !legal(name) {
		return ErrName
	}
	r, err := rs.enterOrPut(name)
	if err != nil {
		return err
	}
	defer r.leave()
	r.explicit = true
	r.change(s, time.Now())
	return nil
}

// enterOrPut is enterOrMake beyond the limit of rooms.
func (rs *Rooms) enterOrPut(name string) (*room, error) {
	for {
		rs.mu.Lock()
		r, ok := rs.rooms[name]
		if !ok {
			if rs.closed {
				rs.mu.Unlock()
				return nil, ErrClosed
			}
			r = newRoom(rs, name)
			rs.rooms[name] = r
		}
		rs.mu.Unlock()
		r.mu.Lock()
		if !r.gone {
			return r, nil
		}
		r.mu.Unlock()
	}
}

// Len is how many rooms there are.
func (rs *Rooms) Len() int {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return len(rs.rooms)
}
