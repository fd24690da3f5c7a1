#include "data/dataset.h"

#include <algorithm>
#include <cstdlib>

#include "core/error.h"
#include "data/check.h"
#include "data/line_reader.h"

namespace outsize {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kRenderVersion =
    1;  // raise when rows render to other ids or cuts than before
constexpr std::size_t kHashedBytes = 65536;  // of each end of a file
constexpr std::size_t kPieceReadBytes = 16384;
constexpr std::size_t kBytesPerToken = 5;  // a guess that saves a second read of most rows

template <class T>
std::uint64_t hash_value(const T& value, std::uint64_t seed) {
  return hash_bytes(&value, sizeof(value), seed);
}

// Tells tokenizers apart by their vocabulary and by what they make of a text with many kinds of
// joints.
std::uint64_t hash_tokenizer(const Tokenizer& tokenizer, std::uint64_t seed) {
  seed = hash_value(tokenizer.vocabulary_size(), seed);
  seed = hash_value(tokenizer.bos_id(), seed);
  seed = hash_value(tokenizer.eos_id(), seed);
  seed = hash_value(tokenizer.adds_bos() ? 1 : 0, seed);
  for (TokenId id = 0; id < tokenizer.vocabulary_size(); ++id) {
    const std::string bytes = tokenizer.token_bytes(id);
    seed = hash_bytes(bytes.data(), bytes.size(), seed);
  }
  std::vector<TokenId> ids;
  tokenizer.encode(
      "  It's 1234567 \xc3\xa9t\xc3\xa9s,\r\n\n\tx==y; \xe4\xb8\xad\xe6\x96\x87 \xf0\x9f\x91\x8b ",
      false, ids);
  return hash_bytes(ids.data(), ids.size() * sizeof(TokenId), seed);
}

// Size, time and both ends of a file: enough to notice an edit without reading all of it.
std::uint64_t hash_file(const File& file, std::uint64_t seed) {
  seed = hash_value(file.size(), seed);
  seed = hash_value(fs::last_write_time(file.path()).time_since_epoch().count(), seed);
  std::string bytes(static_cast<std::size_t>(std::min<std::uint64_t>(file.size(), kHashedBytes)),
                    '\0');
  file.read_at(0, bytes.data(), bytes.size());
  seed = hash_bytes(bytes.data(), bytes.size(), seed);
  file.read_at(file.size() - bytes.size(), bytes.data(), bytes.size());
  return hash_bytes(bytes.data(), bytes.size(), seed);
}

// Everything the index follows from.
std::uint64_t index_key(const DataOptions& options, const Tokenizer& tokenizer,
                        const std::vector<File>& files) {
  std::uint64_t key = hash_tokenizer(tokenizer, kRenderVersion);
  key = hash_value(options.sequence_length, key);
  key = hash_value(static_cast<int>(options.long_samples), key);
  key = hash_value(options.parse_special ? 1 : 0, key);
  for (const File& file : files)
    key = hash_value(is_jsonl(file.path()) ? 1 : 0, hash_file(file, key));
  return key;
}

// A folder that goes when it is left; files in it that are still open stay readable.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    path_ = (fs::temp_directory_path() / "outsize-index-XXXXXX").string();
    if (!::mkdtemp(path_.data()))
      fail(ErrorKind::Io, "[data] cannot make a temporary folder like '{}'; try setting TMPDIR",
           path_);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

DataIndex make_index(const DataOptions& options, const Tokenizer& tokenizer,
                     const std::string& path, std::uint64_t key) {
  IndexWriter writer(path);
  const DataReport report = check_dataset(options, tokenizer, &writer);
  if (!report.is_clean())
    fail(ErrorKind::InvalidArgument, "[data] {} of {} rows cannot be used:\n{}",
         report.problem_count, report.totals.rows, to_string(report));
  if (report.totals.samples == 0)
    fail(ErrorKind::InvalidArgument,
         "[data] no sample in {}{}; got {} rows, {} of them dropped; "
         "expected at least one",
         options.files[0].string(), options.files.size() > 1 ? " and the other files" : "",
         report.totals.rows, report.totals.dropped);
  writer.commit(report.totals, key);
  std::optional<DataIndex> index = DataIndex::open(path, key);
  if (!index)
    fail(ErrorKind::Corruption, "[data] the index '{}' does not read back as written", path);
  return std::move(*index);
}

}  // namespace

std::shared_ptr<const Dataset> Dataset::open(const DataOptions& options,
                                             const Tokenizer& tokenizer) {
  check_options(options);
  std::vector<File> files;
  for (const fs::path& path : options.files) files.push_back(File::open(path.string()));
  const std::uint64_t key = index_key(options, tokenizer, files);
  const auto make = [&](DataIndex index, bool was_indexed) {
    return std::shared_ptr<const Dataset>(
        // tidy: allow banned: the constructor is private, which make_shared cannot call
        new Dataset(options, tokenizer, std::move(files), std::move(index), was_indexed));
  };
  if (options.index_dir.empty()) {
    const TemporaryFolder folder;
    return make(make_index(options, tokenizer, folder.path() + "/data.index", key), false);
  }
  std::error_code error;
  fs::create_directories(options.index_dir, error);
  if (error)
    fail(ErrorKind::Io, "[data] cannot make the folder '{}'; got: {}", options.index_dir.string(),
         error.message());
  const std::string path = (options.index_dir / fmt::format("data-{:016x}.index", key)).string();
  if (std::optional<DataIndex> index = DataIndex::open(path, key))
    return make(std::move(*index), true);
  return make(make_index(options, tokenizer, path, key), false);
}

Dataset::Dataset(const DataOptions& options, const Tokenizer& tokenizer, std::vector<File> files,
                 DataIndex index, bool was_indexed)
    : options_(options),
      tokenizer_(tokenizer),
      end_line_(document_end_line(tokenizer)),
      files_(std::move(files)),
      index_(std::move(index)),
      was_indexed_(was_indexed) {
  fingerprint_ = hash_tokenizer(tokenizer, index_.content_hash());
  fingerprint_ = hash_value(index_.totals(), fingerprint_);
  fingerprint_ = hash_value(options.sequence_length, fingerprint_);
  fingerprint_ = hash_value((options.pack ? 1 : 0) | (options.shuffle ? 2 : 0), fingerprint_);
  fingerprint_ = hash_value(options.seed, fingerprint_);
}

IndexEntry Dataset::entry(std::uint64_t sample) const {
  IndexEntry entry;
  index_.read(sample, {&entry, 1});
  return entry;
}

void Dataset::fail_changed(const IndexEntry& entry) const {
  fail(ErrorKind::Corruption,
       "[data] '{}' changed since it was checked; got other text at byte {}; "
       "try starting again, which checks it anew",
       options_.files[entry.file()].string(), entry.offset());
}

void Dataset::load(const IndexEntry& entry, Scratch& scratch, DataSample& sample) const {
  ensure(entry.file() < files_.size(), "[data] sample of file {} of {}", entry.file(),
         files_.size());
  sample.ids.clear();
  if (is_jsonl(options_.files[entry.file()])) {
    load_row(entry, scratch, sample);
  } else {
    load_text(entry, scratch, sample);
  }
  if (sample.positions() != entry.positions) fail_changed(entry);
}

void Dataset::load_row(const IndexEntry& entry, Scratch& scratch, DataSample& sample) const {
  const std::size_t guess = std::size_t{entry.positions} * kBytesPerToken + 256;
  read_line_at(files_[entry.file()], entry.offset(), guess, scratch.line);
  RowProblem problem;
  if (!parse_row(scratch.line, scratch.row, problem) ||
      !render_row(scratch.row, tokenizer_, options_.parse_special, sample, problem))
    fail_changed(entry);
  const std::size_t skip = entry.skipped_ids();
  const std::size_t wanted = skip + entry.positions + 1;
  const std::size_t length = static_cast<std::size_t>(options_.sequence_length);
  const bool is_cut = options_.long_samples != DataOptions::LongSamples::error;
  // A row may go on past the sample only where the options cut it.
  if (sample.ids.size() < wanted ||
      (sample.ids.size() > wanted && !(is_cut && entry.positions == length)))
    fail_changed(entry);
  sample.ids.resize(wanted);
  sample.ids.erase(sample.ids.begin(), sample.ids.begin() + static_cast<std::ptrdiff_t>(skip));
  sample.first_trained = std::max<std::int64_t>(1, sample.first_trained - std::int64_t(skip));
}

void Dataset::load_text(const IndexEntry& entry, Scratch& scratch, DataSample& sample) const {
  if (!scratch.pieces || scratch.pieces_file != entry.file()) {
    scratch.pieces =
        std::make_unique<PieceReader>(files_[entry.file()], end_line_, kPieceReadBytes);
    scratch.pieces_file = entry.file();
  }
  scratch.pieces->seek(entry.offset());
  const std::size_t wanted = std::size_t{entry.positions} + 1;
  std::size_t skip = entry.skipped_ids();
  bool begins = entry.begins_document();
  bool ended = false;
  while (!ended && sample.ids.size() < wanted) {
    PieceReader::Item item;
    if (!scratch.pieces->take(item)) {
      if (scratch.pieces->more()) continue;
      break;
    }
    std::vector<TokenId>& ids = scratch.piece_ids;
    render_piece(item.text, begins, item.ends_document, tokenizer_, options_.parse_special, ids);
    const std::size_t first = std::min(skip, ids.size());
    const std::size_t taken = std::min(ids.size() - first, wanted - sample.ids.size());
    const auto begin = ids.begin() + static_cast<std::ptrdiff_t>(first);
    sample.ids.insert(sample.ids.end(), begin, begin + static_cast<std::ptrdiff_t>(taken));
    skip -= first;
    begins = false;
    ended = item.ends_document;
  }
  sample.first_trained = 1;
}

std::string Dataset::place_of(const IndexEntry& entry) const {
  return fmt::format("{}:{}", options_.files[entry.file()].string(),
                     line_number_at(files_[entry.file()], entry.offset()));
}

}  // namespace outsize
