// What the kernel works on: the grid of logits, the image of labels, how their coordinates map, and buffers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace fanet {

constexpr int kMostLanes = 8;  // pixels computed together, of any instruction set

// One axis of a bilinear resize, by torch's align_corners: true puts the centres of the outermost pixels onto those of
// the outermost points, false the edges. "Cell" i lies between grid points i and next(i).
class Axis {
 public:
  // The same float32 operations as torch's CPU kernel, so that both round alike.
  Axis(int points, int pixels, bool align_corners)
      : points_(points),
        same_(points == pixels),
        clamped_(!align_corners && !same_),
        scale_(step(points, pixels, align_corners)),
        first_(points + 1),
        near_(pixels + kMostLanes),
        far_(pixels + kMostLanes) {
    int cells = 0;  // whose first pixel is known
    for (int pixel = 0; pixel < pixels; ++pixel) {
      const float position = same_ ? static_cast<float>(pixel) : position_of(pixel, align_corners);
      const int cell = std::min(static_cast<int>(position), points - 1);
      while (cells <= cell) first_[cells++] = pixel;
      far_[pixel] = std::clamp(position - static_cast<float>(cell), 0.0F, 1.0F);
      near_[pixel] = 1.0F - far_[pixel];
    }
    while (cells <= points) first_[cells++] = pixels;
  }

  int points() const { return points_; }
  int next(int cell) const { return same_ ? cell : std::min(cell + 1, points_ - 1); }
  int begin(int cell) const { return first_[cell]; }    // its first pixel
  int end(int cell) const { return first_[cell + 1]; }  // after its last pixel; a cell may have none
  float scale() const { return scale_; }                // cells from one pixel to the next
  // Whether pixels of the cell lie before its point and take that one's value, so that they are not evenly spaced.
  bool clamped(int first_pixel) const { return clamped_ && first_pixel == 0; }
  // Per pixel, padded by kMostLanes: the weights of its cell's grid point and of the next one.
  const float* near() const { return near_.data(); }
  const float* far() const { return far_.data(); }

 private:
  static float step(int points, int pixels, bool align_corners) {
    if (!align_corners) return static_cast<float>(points) / static_cast<float>(pixels);
    return pixels > 1 ? static_cast<float>(points - 1) / static_cast<float>(pixels - 1) : 0.0F;
  }

  float position_of(int pixel, bool align_corners) const {
    if (align_corners) return scale_ * static_cast<float>(pixel);
    return std::max(scale_ * (static_cast<float>(pixel) + 0.5F) - 0.5F, 0.0F);
  }

  int points_;
  bool same_;  // as many pixels as points: torch copies, and a pixel does not see the next point
  bool clamped_;
  float scale_;
  std::vector<int> first_;
  std::vector<float> near_, far_;
};

// Which label each of the network's classes stands for, where several may stand for one. The kernel then has the classes
// in the order of their labels, so that those of one label follow one another.
struct Merging {
  const int* order;            // (classes): the network's class at each place; null: every class is its own label
  const std::int32_t* labels;  // (classes): the label at each place, ascending
};

// Logits are (classes, y.points, x.points), labels and confidence (height, width), all contiguous.
struct Job {
  const float* logits;
  int classes;
  const Axis &y, &x;
  std::ptrdiff_t height, width;
  std::uint8_t* labels;
  std::uint8_t* confidence;  // null: not wanted
  bool probabilities;        // the grid holds probabilities, whose largest is the confidence; else logits
  float negligible;          // a logit lower than another by this much does not count in that one's confidence
  Merging merging;

  std::ptrdiff_t plane() const { return static_cast<std::ptrdiff_t>(y.points()) * x.points(); }
};

// The pixels between four points of the grid.
struct Cell {
  int left, right, upper, lower;  // pixels left <= x < right, upper <= y < lower
  int winners[4];                 // at top left, top right, bottom left, bottom right

  bool finite() const { return (winners[0] | winners[1] | winners[2] | winners[3]) >= 0; }
  bool uniform() const {
    return winners[0] == winners[1] && winners[0] == winners[2] && winners[0] == winners[3];
  }
};

// Values of one class at kMostLanes pixels, on the cell's upper and lower edge.
struct Edges {
  float top[kMostLanes], bottom[kMostLanes];
};

// Exponentials of such values in one row of pixels, and their factors from row to row.
struct Powers {
  float value[kMostLanes], factor[kMostLanes];
};

constexpr int kNotFinite = -1;  // instead of a winner, where a logit is infinite or NaN

// One row of the grid, all classes, and what is known of its points. Every row is padded by kMostLanes.
struct GridRow {
  int row = kNone;
  float* logits;         // (classes, stride)
  std::int32_t* winner;  // (points): class with the highest logit, the lowest of equals; kNotFinite
  // (points): not 0 where the winner's confidence is 255, and of merged classes also where its label wins between equals;
  // only if confidence is wanted or classes are merged
  std::int32_t* sure;

  static constexpr int kNone = -1;
};

// What one thread needs besides the job; all of it about the size of two grid rows.
class Scratch {
 public:
  explicit Scratch(const Job& job)
      : stride(16 * (job.x.points() / 16 / 2 * 2 + 3)),
        classes((job.classes / kMostLanes + 1) * kMostLanes),
        todo_(job.x.points()),
        edges_(job.classes),
        powers_(job.classes) {
    floats_.resize(2 * stride * job.classes + 4 * classes);
    ints_.resize(4 * stride + 2 * classes);
    float* floats = floats_.data();
    std::int32_t* ints = ints_.data();
    const auto take = [](auto*& from, std::ptrdiff_t count) {
      auto* const taken = from;
      from += count;
      return taken;
    };
    for (GridRow& row : rows) {
      row.logits = take(floats, stride * job.classes);
      row.winner = take(ints, stride);
      row.sure = take(ints, stride);
    }
    for (float*& corner : corners) corner = take(floats, classes);
    beaten = take(ints, classes);
    chosen = take(ints, classes);
    edges = edges_.data();
    powers = powers_.data();
    todo = todo_.data();
  }

  // Of grid rows; an odd number of cache lines, so that the rows of all classes do not compete for the same few.
  const std::ptrdiff_t stride;
  const std::ptrdiff_t classes;  // padded to a multiple of kMostLanes
  GridRow rows[2];
  // Of one cell:
  float* corners[4];      // (classes): logits, in the order of Cell::winners
  std::int32_t* beaten;   // (classes): not 0 if the class cannot matter
  std::int32_t* chosen;   // the classes that matter
  Edges* edges;           // (chosen)
  Powers* powers;         // (chosen)
  int* todo;              // columns of a cell row that are not finished at first sight

 private:
  std::vector<float> floats_;
  std::vector<std::int32_t> ints_;
  std::vector<int> todo_;
  std::vector<Edges> edges_;
  std::vector<Powers> powers_;
};

}  // namespace fanet
