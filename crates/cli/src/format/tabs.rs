//! Columns aligned as Go's `text/tabwriter` aligns them.

/// Aligns `text`, whose cells end with tabs.
///
/// A column is a run of lines that all have a cell there; it is as wide as its widest cell and
/// `padding`, at least `minimum`. What follows a line's last tab belongs to no column.
pub(crate) fn align(text: &str, minimum: usize, padding: usize) -> String {
    let lines: Vec<Vec<&str>> = text
        .split_inclusive('\n')
        .map(|line| line.trim_end_matches('\n').split('\t').collect())
        .collect();
    let mut out = String::with_capacity(text.len() * 2);
    let layout = Layout { lines: &lines, minimum, padding };
    layout.block(&mut out, &mut Vec::new(), 0, lines.len());
    out
}

struct Layout<'a> {
    lines: &'a [Vec<&'a str>],
    minimum: usize,
    padding: usize,
}

impl Layout<'_> {
    fn block(&self, out: &mut String, widths: &mut Vec<usize>, from: usize, to: usize) {
        let column = widths.len();
        let has_cell = |line: usize| column + 1 < self.lines[line].len();
        let mut line = from;
        while line < to {
            if !has_cell(line) {
                self.line(out, widths, line);
                line += 1;
                continue;
            }
            let end = (line..to).find(|&next| !has_cell(next)).unwrap_or(to);
            let widest = self.lines[line..end].iter().map(|cells| cells[column].chars().count());
            let width = widest.map(|w| w + self.padding).max().unwrap_or(0).max(self.minimum);
            widths.push(width);
            self.block(out, widths, line, end);
            widths.pop();
            line = end;
        }
    }

    fn line(&self, out: &mut String, widths: &[usize], line: usize) {
        for (index, cell) in self.lines[line].iter().enumerate() {
            out.push_str(cell);
            if let Some(width) = widths.get(index) {
                let missing = width.saturating_sub(cell.chars().count());
                out.extend(std::iter::repeat_n(' ', missing));
            }
        }
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::align;

    #[test]
    fn aligns_runs_of_lines() {
        let text = "ID\tNAME\nlonger-than-ten\tx\n\na\tb\tc\n";
        let want = "ID                NAME\nlonger-than-ten   x\n\na         b         c\n";
        assert_eq!(align(text, 10, 3), want);
    }
}
