package main

import (
	"fmt"
	"io"
	"strings"
)

// heading is the table's, with the widths of its columns.
var heading = []string{"what", "Sluice", "naive", "ratio", "lowest–highest", "bar", ""}

// writeTable writes rows as Markdown whose columns also line up on a terminal.
func writeTable(w io.Writer, title string, rows []row) error {
	cells := [][]string{heading}
	for _, r := range rows {
		cells = append(cells, r.cells())
	}
	widths := make([]int, len(heading))
	for _, line := range cells {
		for i, c := range line {
			widths[i] = max(widths[i], len([]rune(c)))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s\n\n", title)
	for n, line := range cells {
		writeLine(&b, line, widths, ' ')
		if n == 0 {
			writeLine(&b, make([]string, len(line)), widths, '-')
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeLine(b *strings.Builder, line []string, widths []int, fill byte) {
	b.WriteByte('|')
	for i, c := range line {
		pad := strings.Repeat(string(fill), widths[i]-len([]rune(c)))
		fmt.Fprintf(b, "%c%s%s%c|", fill, c, pad, fill)
	}
	b.WriteByte('\n')
}

func (r row) cells() []string {
	number := func(v float64) string { return strings.TrimSpace(fmt.Sprintf(r.format, v) + " " + r.Unit) }
	cells := []string{r.What, number(r.Ours), "", "", "", r.Bar, ""}
	if r.Naive != 0 {
		cells[2] = number(r.Naive)
	}
	if r.Ratio != 0 {
		cells[3] = fmt.Sprintf("%.3fx", r.Ratio)
		cells[4] = fmt.Sprintf("%.3f–%.3f", r.Lowest, r.Highest)
	}
	switch {
	case !r.judged:
	case r.Met:
		cells[6] = "met"
	default:
		cells[6] = "MISSED"
	}
	return cells
}
