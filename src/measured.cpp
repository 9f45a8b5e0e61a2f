// Measured points to ground: where the local ground lies, and what every point says about it.
// A plain C interface: fanet_ros/measured/kernels.py loads it and says what the arguments are.
//
// Only + - * / sqrt and comparisons of float32, in an order that numpy can repeat: test/test_measured_kernels.py does.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

namespace fanet {
namespace {

constexpr float kNan = __builtin_nanf("");

bool is_point(const float* p) { return p[0] == p[0] && p[1] == p[1] && p[2] == p[2]; }

enum Kind : std::uint8_t { kUnknown, kFree, kFlat, kStanding };
enum Source : std::uint8_t { kNothing, kAgreed, kClass, kHeight, kBelow, kOverhead, kHidden, kUnclassed };
enum Cell : std::uint8_t { kCellNone = 0, kCellFree = 1, kCellFlat = 2, kCellStanding = 4 };

// The ground: a plane of the base frame, and on it heights in polar bins about the foot point.
struct Ground {
  float foot_x, foot_y;
  float a, b, c;  // z = a x + b y + c
  float bin;      // metres along a sector
  int bins;
  int sectors;  // a quarter turn
  const float* heights;

  // A quarter turn is 1: grows with the angle, and needs no arctangent.
  static float turn(float dx, float dy) {
    const float sum = std::fabs(dx) + std::fabs(dy);
    if (!(sum > 0.0F)) return 0.0F;
    const float share = dy / sum;
    if (dx < 0.0F) return 2.0F - share;
    return dy < 0.0F ? 4.0F + share : share;
  }
  static int slot(float turn, int a_quarter) { return std::min(static_cast<int>(turn * a_quarter), 4 * a_quarter - 1); }

  float plane(float x, float y) const { return (a * x + b * y) + c; }

  float at(float x, float y, float turn, float range) const {
    const float* sector = heights + static_cast<std::ptrdiff_t>(slot(turn, sectors)) * bins;
    const float place = std::min(std::max(range / bin - 0.5F, 0.0F), static_cast<float>(bins - 1));
    const int near = std::min(static_cast<int>(place), bins - 1);
    const int far = std::min(near + 1, bins - 1);
    const float share = place - static_cast<float>(near);
    return plane(x, y) + (sector[near] + (sector[far] - sector[near]) * share);
  }
};

struct Walk {
  float gate, gate_per_metre;  // how far a point may lie from where ground is expected
  float most_slope;            // of the ground against the plane
  int least_points;            // of a bin that tells where the ground is
};

constexpr int kLevels = 32;      // of the histogram within a gate
constexpr float kAsFar = 1.0F;  // metres over which a slope goes on unseen

// Outward along one sector: in every bin the ground is where two fifths of the points near the expected height lie below.
// Walls and cars, which rise more steeply than ground may, do not carry it upwards, whatever their class.
void walk_sector(const float* errors, const int* starts, const Ground& ground, const Walk& walk, float* heights,
                 std::uint8_t* is_seen) {
  float height = 0.0F, slope = 0.0F, at = 0.0F;  // of the last bin that was seen, and where
  for (int bin = 0; bin < ground.bins; ++bin) {
    const float middle = (static_cast<float>(bin) + 0.5F) * ground.bin;
    const float ahead = middle - at;
    const float expected = height + slope * std::min(ahead, kAsFar);  // hidden ground does not rise for ever
    const float gate = (walk.gate + walk.gate_per_metre * middle) + 0.5F * walk.most_slope * std::min(ahead, kAsFar);
    int counts[kLevels] = {}, total = 0;
    for (int i = starts[bin]; i < starts[bin + 1]; ++i) {
      const float level = (errors[i] - expected + gate) / (2.0F * gate) * kLevels;
      if (!(level >= 0.0F && level < static_cast<float>(kLevels))) continue;
      ++counts[static_cast<int>(level)];
      ++total;
    }
    is_seen[bin] = total >= walk.least_points;
    if (!is_seen[bin]) {
      heights[bin] = expected;
      continue;
    }
    const int wanted = (2 * total + 4) / 5;
    int level = 0;
    for (int sum = counts[0]; sum < wanted; sum += counts[++level]) {
    }
    const float found = expected - gate + (static_cast<float>(level) + 0.5F) * (2.0F * gate / kLevels);
    if (bin > 0) slope += 0.5F * ((found - height) / ahead - slope);
    slope = std::min(std::max(slope, -walk.most_slope), walk.most_slope);
    height = heights[bin] = found;
    at = middle;
  }
}

struct Limits {
  float step, clearance;  // heights above the ground, metres
  float range_min2, range_max2;
  float most_gap;  // metres between neighbouring free points, over which the ground between them is free, a metre of range
};

struct Raster {
  float x0, y0, resolution, cells_a_metre;
  int columns, rows;
  std::uint8_t* cells;
  std::uint16_t* counts;  // of points that stand in a cell
  float* nearest;         // squared range from the base frame's origin of what is not free in a cell

  std::ptrdiff_t cell(float x, float y) const {
    const float column = (x - x0) * cells_a_metre, row = (y - y0) * cells_a_metre;
    if (!(column >= 0.0F && column < static_cast<float>(columns) && row >= 0.0F && row < static_cast<float>(rows))) return -1;
    return static_cast<std::ptrdiff_t>(row) * columns + static_cast<std::ptrdiff_t>(column);
  }
  void mark(float x, float y, Cell what, const Limits& limits) {
    const float range2 = x * x + y * y;
    const std::ptrdiff_t at = cell(x, y);
    if (at < 0 || !(range2 >= limits.range_min2 && range2 <= limits.range_max2)) return;
    cells[at] |= what;
    if (what == kCellFree) return;
    if (what == kCellStanding && counts[at] < 65535) ++counts[at];
    nearest[at] = std::min(nearest[at], range2);
  }
};

// What a point says, from its height above the ground and its kind alone.
Source judge(float above, std::uint8_t kind, const Limits& limits) {
  if (!(above == above)) return kNothing;
  if (above > limits.clearance) return kOverhead;
  if (above > limits.step) return kHeight;
  if (above < -limits.step) return kBelow;
  if (kind == kFree) return kAgreed;
  return kind == kUnknown ? kUnclassed : kClass;
}

// Directions a quarter turn in which overhangs are looked for, and on either side of a point: seen from a pitched camera
// one column of pixels runs through several.
constexpr int kShadeSlots = 256;

constexpr int kMostDown = 15, kMostAcross = 3;  // steps: noise of far points makes neighbours lie far apart

// Squared distance across the line of sight from the base frame's origin, times the squared range: noise along that line
// does not count.
float across2(const float* p, const float* q) {
  const float cross = p[0] * q[1] - p[1] * q[0];
  return cross * cross;
}

float apart2(const float* p, const float* q) {
  const float dx = p[0] - q[0], dy = p[1] - q[1];
  return dx * dx + dy * dy;
}

// What ground is free, or flat and not free, is so between neighbours of an organised cloud that all say so.
Cell ground_of(Source source, std::uint8_t kind) {
  if (source == kAgreed) return kCellFree;
  return source == kClass && kind == kFlat ? kCellFlat : kCellNone;
}

// Mark the ground between neighbours: p and q side by side, r and s below them.
void fill_between(const float* p, const float* q, const float* r, const float* s, float range2, Cell what,
                  const Limits& limits, Raster& raster) {
  const float most = raster.resolution + limits.most_gap * std::sqrt(range2);
  const float half = 0.5F * raster.resolution;
  const float along = std::sqrt(std::max(apart2(p, r), apart2(q, s)));
  const float across = std::sqrt(std::max(across2(p, q) / range2, across2(r, s) / range2));
  const float apart = std::max(apart2(p, q), apart2(r, s));  // of a camera on its side these lie one behind the other
  if (!(along <= most && across <= most && apart <= most * most)) return;
  const int down = std::min(static_cast<int>(along / half), kMostDown) + 1;
  const int right = std::min(static_cast<int>(across / half), kMostAcross) + 1;
  for (int i = 0; i <= down; ++i) {
    const float v = static_cast<float>(i) / static_cast<float>(down);
    const float left_x = p[0] + (r[0] - p[0]) * v, left_y = p[1] + (r[1] - p[1]) * v;
    const float right_x = q[0] + (s[0] - q[0]) * v, right_y = q[1] + (s[1] - q[1]) * v;
    for (int j = 0; j < right; ++j) {
      const float u = static_cast<float>(j) / static_cast<float>(right);
      raster.mark(left_x + (right_x - left_x) * u, left_y + (right_y - left_y) * u, what, limits);
    }
  }
}

}  // namespace
}  // namespace fanet

#define FANET_EXPORT extern "C" __attribute__((visibility("default")))

FANET_EXPORT void fanet_depth_points(const void* depth, int is_metres, std::ptrdiff_t count, const float* rays,
                                     const float* rotation, const float* translation, float most, float* points) {
  const float* r = rotation;
  const float* t = translation;
  const auto* metres = static_cast<const float*>(depth);
  const auto* millimetres = static_cast<const std::uint16_t*>(depth);
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    float z = is_metres ? metres[i] : static_cast<float>(millimetres[i]) * 0.001F;
    if (!(z > 0.0F && z <= most)) z = fanet::kNan;
    const float x = rays[2 * i], y = rays[2 * i + 1];
    points[3 * i] = ((r[0] * x + r[1] * y) + r[2]) * z + t[0];
    points[3 * i + 1] = ((r[3] * x + r[4] * y) + r[5]) * z + t[1];
    points[3 * i + 2] = ((r[6] * x + r[7] * y) + r[8]) * z + t[2];
  }
}

FANET_EXPORT int fanet_ground_heights(const float* points, const std::uint8_t* kinds, std::ptrdiff_t count,
                                      std::ptrdiff_t every, const float* foot, const float* plane, float bin, int bins, int sectors,
                                      const float* walk, int least_points, float* heights, std::uint8_t* is_seen) {
  using namespace fanet;
  try {
    const Ground ground{foot[0], foot[1], plane[0], plane[1], plane[2], bin, bins, sectors, heights};
    const int slots = 4 * sectors * bins;
    std::vector<std::int32_t> slot_of(count, -1);
    std::vector<int> starts(slots + 1, 0);
    for (std::ptrdiff_t i = 0; i < count; i += every) {
      const float* p = points + 3 * i;
      if ((kinds[i] != kFree && kinds[i] != kFlat) || !is_point(p)) continue;
      const float dx = p[0] - foot[0], dy = p[1] - foot[1];
      const int at = static_cast<int>(std::sqrt(dx * dx + dy * dy) / bin);
      if (at >= bins) continue;
      slot_of[i] = Ground::slot(Ground::turn(dx, dy), sectors) * bins + at;
      ++starts[slot_of[i] + 1];
    }
    for (int slot = 0; slot < slots; ++slot) starts[slot + 1] += starts[slot];
    std::vector<int> next(starts.begin(), starts.end() - 1);
    std::vector<float> errors(starts[slots]);
    for (std::ptrdiff_t i = 0; i < count; i += every) {
      if (slot_of[i] < 0) continue;
      const float* p = points + 3 * i;
      errors[next[slot_of[i]]++] = p[2] - ground.plane(p[0], p[1]);
    }
    const Walk how{walk[0], walk[1], walk[2], least_points};
    for (int sector = 0; sector < 4 * sectors; ++sector) {
      const std::ptrdiff_t first = static_cast<std::ptrdiff_t>(sector) * bins;
      walk_sector(errors.data(), starts.data() + first, ground, how, heights + first, is_seen + first);
    }
    return 0;
  } catch (const std::bad_alloc&) {
    return -1;
  }
}

FANET_EXPORT int fanet_judge_points(const float* points, const std::uint8_t* kinds, const std::int32_t* order, int rows,
                                    int columns, int is_dense, const float* foot, const float* plane, float bin,
                                    int bins, int sectors, const float* heights, const float* limits_of,
                                    const float* raster_of, int raster_columns, int raster_rows, float* above,
                                    std::uint8_t* sources, std::uint8_t* cells, std::uint16_t* counts, float* nearest) {
  using namespace fanet;
  try {
    const Ground ground{foot[0], foot[1], plane[0], plane[1], plane[2], bin, bins, sectors, heights};
    const Limits limits{limits_of[0], limits_of[1], limits_of[2], limits_of[3], limits_of[4]};
    Raster raster{raster_of[0], raster_of[1], raster_of[2], 1.0F / raster_of[2], raster_columns, raster_rows, cells, counts, nearest};
    constexpr int kShades = 4 * kShadeSlots;
    std::vector<float> shade(kShades, __builtin_inff());
    const std::ptrdiff_t count = static_cast<std::ptrdiff_t>(rows) * columns;
    // From high to low: what stands and is nearer hangs over ground that is seen below it.
    for (std::ptrdiff_t k = 0; k < count; ++k) {
      const std::ptrdiff_t i = order == nullptr ? k : order[k];
      const float* p = points + 3 * i;
      above[i] = kNan;
      sources[i] = kNothing;
      if (!is_point(p)) continue;
      const float dx = p[0] - foot[0], dy = p[1] - foot[1];
      const float range = std::sqrt(dx * dx + dy * dy), turn = Ground::turn(dx, dy);
      above[i] = p[2] - ground.at(p[0], p[1], turn, range);
      Source source = judge(above[i], kinds[i], limits);
      const int slot = Ground::slot(turn, kShadeSlots);
      if (source == kHeight) {
        for (int beside = slot + kShades - 1; beside <= slot + kShades + 1; ++beside) {
          float& nearest_above = shade[beside % kShades];
          nearest_above = std::min(nearest_above, range);
        }
      }
      if (source == kAgreed && range > shade[slot]) source = kHidden;
      sources[i] = source;
      if (source == kHeight || source == kBelow || (source == kClass && kinds[i] == kStanding)) {
        raster.mark(p[0], p[1], kCellStanding, limits);
      } else if (const Cell what = ground_of(source, kinds[i])) {
        raster.mark(p[0], p[1], what, limits);
      }
    }
    if (is_dense == 0) return 0;
    const float half2 = 0.25F * (raster.resolution * raster.resolution);
    for (int row = 0; row + 1 < rows; ++row) {
      const float* last = nullptr;  // where the row was last filled: half a cell beside it there is no need to
      for (int column = 0; column + 1 < columns; ++column) {
        const std::ptrdiff_t i = static_cast<std::ptrdiff_t>(row) * columns + column, below = i + columns;
        const auto at = [&](std::ptrdiff_t j) { return ground_of(static_cast<Source>(sources[j]), kinds[j]); };
        const Cell what = at(i);
        if (what == kCellNone || at(below) != what || at(i + 1) != what || at(below + 1) != what) continue;
        const float *p = points + 3 * i, *q = p + 3, *r = points + 3 * below;
        const float range2 = p[0] * p[0] + p[1] * p[1];
        if (apart2(p, r) <= half2 && across2(p, q) <= half2 * range2) continue;
        if (last != nullptr && across2(last, q) <= half2 * range2) continue;
        fill_between(p, q, r, r + 3, range2, what, limits, raster);
        last = p;
      }
    }
    return 0;
  } catch (const std::bad_alloc&) {
    return -1;
  }
}

// The cloud of 24 bytes a point: x, y, z, rgb, label, confidence, source, 0, height.
FANET_EXPORT void fanet_measured_cloud(const std::int32_t* point_of_pixel, std::ptrdiff_t pixels, const float* points,
                                       const float* above, const std::uint8_t* sources, const std::uint8_t* mask,
                                       const std::uint8_t* confidence, const std::uint32_t* colours,
                                       std::uint8_t* cloud) {
  for (std::ptrdiff_t pixel = 0; pixel < pixels; ++pixel, cloud += 24) {
    const std::ptrdiff_t at = point_of_pixel[pixel];
    const float nothing[3] = {fanet::kNan, fanet::kNan, fanet::kNan};
    __builtin_memcpy(cloud, at < 0 ? nothing : points + 3 * at, 12);
    __builtin_memcpy(cloud + 12, colours + mask[pixel], 4);
    cloud[16] = mask[pixel];
    cloud[17] = confidence == nullptr ? 255 : confidence[pixel];
    cloud[18] = at < 0 ? 0 : sources[at];
    cloud[19] = 0;
    __builtin_memcpy(cloud + 20, at < 0 ? nothing : above + at, 4);
  }
}
