"""Records of TensorBoard's event files, framed by its own writer: the numbers in src/train/tensorboard.test.ts.

Run with tensorboard 2.21.0: python tools/golden/tensorboard_records.py
"""
import io

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


def record(event):
    out = io.BytesIO()
    RecordWriter(out).write(event.SerializeToString())
    return out.getvalue().hex()


print(record(Event(wall_time=1.5, file_version="brain.Event:2")))
values = [Summary.Value(tag="eval/loss", simple_value=0.5), Summary.Value(tag="eval/accuracy", simple_value=0.75)]
print(record(Event(wall_time=1.5, step=300, summary=Summary(value=values))))
