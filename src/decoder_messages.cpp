// Keeps libjpeg and libpng, with which OpenCV decodes, from filling terminals and logs: both print a line for every damaged
// image. They print through C's stderr, which here becomes a stream that leaves such lines out and passes on all others at
// once; what writes to file descriptor 2 itself (Python, std::cerr) is not concerned.

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>

#define FANET_EXPORT extern "C" __attribute__((visibility("default")))

#if defined(__GLIBC__)  // elsewhere stderr cannot be replaced

namespace {

// Of libjpeg's warnings (jerror.h, JWRN_*) and of all that libpng says.
constexpr const char* kBeginnings[] = {
    "Corrupt JPEG data",           "Premature end of JPEG file",         "Inconsistent progression sequence",
    "Invalid SOS parameters",      "Unknown Adobe color transform code", "Warning: unknown JFIF revision",
    "Application transferred too", "libpng error",                       "libpng warning",
};

std::atomic<int> shown_left{0};

bool is_left_out(const char* line, std::size_t length) {
  for (const char* beginning : kBeginnings) {
    const std::size_t needed = std::strlen(beginning);
    if (length >= needed && std::memcmp(line, beginning, needed) == 0) return shown_left.fetch_sub(1) <= 0;
  }
  return false;
}

void pass_on(const char* text, std::size_t length) {
  while (length > 0) {
    const ssize_t written = write(STDERR_FILENO, text, length);
    if (written < 0 && errno != EINTR) return;
    if (written > 0) text += written, length -= static_cast<std::size_t>(written);
  }
}

ssize_t write_lines(void*, const char* text, std::size_t length) {
  for (const char *line = text, *end = text + length; line < end;) {
    const void* newline = std::memchr(line, '\n', static_cast<std::size_t>(end - line));
    const char* next = newline == nullptr ? end : static_cast<const char*>(newline) + 1;
    const auto size = static_cast<std::size_t>(next - line);
    if (!is_left_out(line, size)) pass_on(line, size);
    line = next;
  }
  return static_cast<ssize_t>(length);
}

}  // namespace

// From now on, print at most so many more lines of both; calling it again only sets the number. Returns 1 if that is done.
FANET_EXPORT int fanet_limit_decoder_messages(int lines) {
  static const bool done = [] {
    FILE* filtered = fopencookie(nullptr, "w", {nullptr, write_lines, nullptr, nullptr});
    if (filtered == nullptr) return false;
    setvbuf(filtered, nullptr, _IOLBF, BUFSIZ);  // whole lines: libpng prints its own in two parts
    std::fflush(stderr);
    stderr = filtered;
    return true;
  }();
  shown_left = lines;
  return done ? 1 : 0;
}

#else

FANET_EXPORT int fanet_limit_decoder_messages(int) { return 0; }

#endif
