// One line of a JSONL file: which strings it holds, or what is wrong with it. Only the fields the
// trainer reads are kept; the rest of the row is checked to be JSON and skipped without a tree.
#pragma once

#include <string>
#include <string_view>

namespace outsize {

struct Row {
  bool has_text = false;   // a `text` row; otherwise a `prompt`/`completion` row
  std::string text;        // not empty
  std::string prompt;      // may be empty
  std::string completion;  // not empty
};

// Why a row cannot be used. `field` is empty when it concerns the whole line.
struct RowProblem {
  std::string field;
  std::string what;  // "is …; expected …"
};

// Reads one line (without its newline). Returns false and fills `problem` when the line is not
// UTF-8, not one JSON object, nested deeper than 64, or its fields are missing, doubled, empty, not
// strings or of both kinds. Never throws on bad input; memory is bounded by the line.
bool parse_row(std::string_view line, Row& row, RowProblem& problem);

}  // namespace outsize
