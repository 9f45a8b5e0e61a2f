import pytest

from fanet_ros.errors import SourceError
from fanet_ros.recorded.messages import COMPRESSED_IMAGE, IMAGE
from fanet_ros.recorded.topics import ImageTopic, camera_names, choose_topics, encoding_of_format


def raw(name: str, encoding: str | None = "rgb8", messages: int = 3) -> ImageTopic:
    return ImageTopic(name, IMAGE, encoding, messages)


def compressed(name: str, encoding: str | None = "bgr8") -> ImageTopic:
    return ImageTopic(name, COMPRESSED_IMAGE, encoding, 3)


def test_one_camera_has_the_live_nodes_topics() -> None:
    choice = choose_topics([raw("/camera/image_raw")], {"/tf": "tf2_msgs/msg/TFMessage"}, [], keep_originals=True)
    assert choice.prefixes == {"/camera/image_raw": "/segmentation"}
    assert (choice.root, choice.left_out) == ("/segmentation", {})
    assert str(choice) == "/camera/image_raw -> /segmentation"


def test_several_cameras_have_a_place_each() -> None:
    choice = choose_topics([raw("/front/image_raw"), compressed("/rear/image/compressed")], {}, [], keep_originals=True)
    assert choice.prefixes == {
        "/front/image_raw": "/segmentation/front",
        "/rear/image/compressed": "/segmentation/rear",
    }
    assert choice.root == "/segmentation"


def test_what_is_no_camera_picture_is_left_out_and_said() -> None:
    images = [
        raw("/camera/image_raw"),
        compressed("/camera/image_raw/compressed"),
        compressed("/camera/depth/image/compressedDepth", "16UC1"),
        compressed("/other/depth/compressed", "16UC1"),
        raw("/camera/depth/image_rect", "16UC1"),
        raw("/camera/depth/points_image", "32FC1"),
        raw("/thermal/image_raw", "mono8"),
        raw("/old/segmentation/mask", "mono8"),
        raw("/semantic_labels", "mono8"),
        raw("/silent/image_raw", None, messages=0),
        raw("/labelled_street/image_raw", "bayer_rggb8"),
    ]
    choice = choose_topics(images, {}, [], keep_originals=True)
    assert list(choice.prefixes) == ["/camera/image_raw", "/thermal/image_raw", "/labelled_street/image_raw"]
    assert choice.left_out == {
        "/camera/image_raw/compressed": "raw is taken",
        "/camera/depth/image/compressedDepth": "depth",
        "/other/depth/compressed": "encoding 16UC1",
        "/camera/depth/image_rect": "encoding 16UC1",
        "/camera/depth/points_image": "encoding 32FC1",
        "/old/segmentation/mask": "'mask' in its name",
        "/semantic_labels": "'labels' in its name",
        "/silent/image_raw": "no messages",
    }
    assert "left out: " in str(choice) and "/camera/depth/image_rect (encoding 16UC1)" in str(choice)


def test_compressed_is_taken_where_raw_is_not() -> None:
    images = [raw("/camera/image_raw", None, messages=0), compressed("/camera/image_raw/compressed")]
    assert list(choose_topics(images, {}, [], keep_originals=True).prefixes) == ["/camera/image_raw/compressed"]


def test_wanted_topics_alone_are_taken_whatever_they_are() -> None:
    images = [raw("/a/image"), compressed("/a/image/compressed"), raw("/old/mask", "mono8")]
    choice = choose_topics(images, {}, ["/old/mask", "/a/image/compressed", "/old/mask"], keep_originals=True)
    assert list(choice.prefixes) == ["/old/mask", "/a/image/compressed"]
    assert not choice.left_out


def test_unknown_topic_lists_those_there_are() -> None:
    with pytest.raises(SourceError, match="no image topic /b; the images are /a/image .rgb8.$"):
        choose_topics([raw("/a/image")], {"/tf": "a/msg/B"}, ["/b"], keep_originals=True)
    with pytest.raises(SourceError, match="no image topic /b; the topics are /odom .a/msg/C., /tf .a/msg/B.$"):
        choose_topics([], {"/tf": "a/msg/B", "/odom": "a/msg/C"}, ["/b"], keep_originals=True)


def test_nothing_to_segment() -> None:
    with pytest.raises(SourceError, match="no topic of camera images; the topics are /tf .tf2_msgs/msg/TFMessage.$"):
        choose_topics([], {"/tf": "tf2_msgs/msg/TFMessage"}, [], keep_originals=True)
    with pytest.raises(
        SourceError, match=r"left out: /depth \(encoding 16UC1\); only colour and grey pictures can be segmented$"
    ):
        choose_topics([raw("/depth", "16UC1")], {}, [], keep_originals=True)
    with pytest.raises(SourceError, match=r"left out: /old/mask \('mask' in its name\); --topic chooses$"):
        choose_topics([raw("/old/mask")], {}, [], keep_originals=True)
    others = {"/a\x1b[2J": "sensor_msgs/Image, ros1 encoding", **{f"/{n}": "a/msg/B" for n in range(30)}}
    with pytest.raises(SourceError, match=r"and 11 more; these are messages of ROS 1: convert the .bag") as error:
        choose_topics([], others, [], keep_originals=True)
    assert "\x1b" not in str(error.value)


def test_results_never_take_the_name_of_a_recorded_topic() -> None:
    images = [raw("/image"), raw("/segmentation/overlay")]
    assert choose_topics(images, {"/segmentation_2/stats": ""}, [], keep_originals=True).root == "/segmentation_3"
    assert choose_topics(images, {}, [], keep_originals=False).root == "/segmentation"


@pytest.mark.parametrize(
    ("topics", "names"),
    [
        (["/front/image_raw", "/rear/image_raw/compressed"], ["front", "rear"]),
        (["/cameras/left/image_rect_color", "/cameras/right/color/image_raw"], ["left", "right"]),
        (["/a/left/image", "/b/left/image"], ["a_left", "b_left"]),
        (["/camera/image_raw", "/camera/image_rect"], ["camera_image_raw", "camera_image_rect"]),
        (["/image", "/front"], ["image", "front"]),
    ],
)
def test_camera_names(topics: list[str], names: list[str]) -> None:
    assert camera_names(topics) == dict(zip(topics, names, strict=True))


def test_encoding_of_format() -> None:
    assert encoding_of_format("16UC1; png compressed ") == "16UC1"
    assert encoding_of_format("jpeg") is None
