"""A student that ships, run by torch or by ONNX Runtime alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Optional, Sequence, Union

import mmcv
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.device import get_device

from ..analysis.students import preprocessor_of
from ..datasets.images import load_sample
from ..datasets.wrappers import pipeline_of
from ..engine.config_data import config_scope
from ..errors import UserError
from ..export.checkpoint import RunStudent, load_student
from ..export.files import ONNX
from ..export.folder import EXPORT
from ..export.metadata import METADATA, read_metadata
from ..export.onnx import onnx_runtime, open_session
from ..export.plain import test_dataset
from ..utils.files import STUDENT_FILE


class Prepare:
    """Prepares an image file as a config's test pipeline does.

    Args:
        config (Config): Of a run, or of an exported student.

    Raises:
        UserError: If it has no test pipeline.
    """

    def __init__(self, config: Config) -> None:
        pipeline = pipeline_of(test_dataset(config))
        if not pipeline:
            raise UserError(
                f'{config.filename}: expected test_dataloader.dataset.'
                'pipeline, which prepares an image, got none.'
            )
        with config_scope(config):
            self.pipeline = Compose(pipeline)

    def __call__(self, path: str) -> dict:
        """Returns the sample of a file; a UserError if it is broken."""
        return load_sample(self.pipeline, dict(img_path=path))


def read_pixels(path: str) -> np.ndarray:
    """Returns an image file as (H, W, 3) uint8, RGB, upright.

    Raises:
        UserError: If it is broken, or of a kind that OpenCV does not read.
    """
    return load_sample(_pixels, dict(img_path=path))


def _pixels(info: dict) -> np.ndarray:
    content = Path(info['img_path']).read_bytes()
    return mmcv.imfrombytes(content, channel_order='rgb')


class TorchStudent:
    """The student of a folder, as MMPretrain runs it.

    Args:
        student (RunStudent): From :func:`load_run`.

    Attributes:
        load (Callable): Takes a file, gives a sample; other processes can do
            it.
    """

    def __init__(self, student: RunStudent) -> None:
        self.load = Prepare(student.config)
        self.model = student.model.to(get_device())
        self.preprocessor = preprocessor_of(student.config).to(get_device())

    def __call__(self, samples: Sequence[dict]) -> np.ndarray:
        """Returns the probabilities (N, C) of N samples."""
        # Side by side they would be padded, and answers would differ.
        shapes = {sample['inputs'].shape for sample in samples}
        parts = [samples] if len(shapes) == 1 else [[s] for s in samples]
        with torch.no_grad():
            return np.concatenate([self._ask(part) for part in parts])

    def _ask(self, samples: Sequence[dict]) -> np.ndarray:
        data = self.preprocessor(pseudo_collate(list(samples)), False)
        said = self.model(data['inputs'], data['data_samples'], mode='predict')
        scores = torch.stack([sample.pred_score for sample in said])
        return scores.float().cpu().numpy()


class OnnxFile:
    """An ONNX file, whatever its tensors are called.

    Args:
        path (Path): The file.

    Attributes:
        takes_pixels (bool): Whether it takes (N, H, W, 3) uint8 RGB of any
            size, instead of what a pipeline has prepared.

    Raises:
        UserError: If it cannot be read, or ONNX Runtime is not installed.
    """

    def __init__(self, path: Path) -> None:
        onnx_runtime()
        if not path.is_file():
            raise UserError(
                f'{path}: expected an ONNX file, got none; '
                'tools/export_student.py --onnx writes it.'
            )
        try:
            self.session = open_session(path)
        # ONNX Runtime has a class for each of its complaints.
        except Exception as error:
            raise UserError(
                f'{path}: expected an ONNX file that ONNX Runtime runs, got '
                f'{str(error)[:200]!r}.'
            ) from error
        self.input = self.session.get_inputs()[0]
        self.takes_pixels = self.input.type == 'tensor(uint8)'
        outputs = [output.name for output in self.session.get_outputs()]
        self.softmax = 'probabilities' not in outputs
        first = 'logits' if 'logits' in outputs else outputs[0]
        self.output = first if self.softmax else 'probabilities'

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Returns the probabilities (N, C) of N images."""
        batch = self.input.shape[0]
        parts = [images]
        if isinstance(batch, int):
            parts = np.split(images, range(batch, len(images), batch))
        said = [
            self.session.run([self.output], {self.input.name: part})[0]
            for part in parts
        ]
        scores = np.concatenate(said).astype(np.float32)
        if not self.softmax:
            return scores
        scores = np.exp(scores - scores.max(1, keepdims=True))
        return scores / scores.sum(1, keepdims=True)


class PreparedOnnx(TorchStudent):
    """An ONNX file that takes what the student's test pipeline gives."""

    def __init__(self, student: RunStudent, file: OnnxFile) -> None:
        super().__init__(student)
        self.file = file

    def _ask(self, samples: Sequence[dict]) -> np.ndarray:
        data = self.preprocessor(pseudo_collate(list(samples)), False)
        return self.file(np.ascontiguousarray(data['inputs'].cpu().numpy()))


class PixelsOnnx:
    """An ONNX file that takes pixels and prepares them itself."""

    load = staticmethod(read_pixels)

    def __init__(self, file: OnnxFile) -> None:
        self.file = file

    def __call__(self, samples: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the probabilities (N, C) of N images of any sizes."""
        return np.concatenate([self.file(image[None]) for image in samples])


class Student:
    """A student, and the names of its classes.

    Args:
        where (str | Path): The folder of a finished run or of an exported
            student, or an ONNX file in one.
        onnx (bool): Whether ``student.onnx`` of the folder, or of ``export``
            in it, is run. Defaults to False.

    Attributes:
        network (Callable): Takes samples, gives probabilities (N, C); its
            ``load`` takes a file and gives a sample.
        classes (list[str] | None): Names, in the order of the outputs.

    Raises:
        UserError: If what it takes is missing or cannot be used.
    """

    def __init__(self, where: Union[str, Path], onnx: bool = False) -> None:
        path = Path(where).expanduser()
        if path.suffix != '.onnx' and onnx:
            places = (path, path / EXPORT)
            files = [place / ONNX for place in places]
            path = next(filter(Path.is_file, files), files[0])
        named = path.suffix == '.onnx'
        self.folder = path.parent if named else path
        file = OnnxFile(path) if named else None
        self.metadata = read_metadata(self.folder)
        student = None
        if file is None or not file.takes_pixels:
            student = load_run(self.folder)
        if file is None:
            self.network = TorchStudent(student)
        elif file.takes_pixels:
            self.network = PixelsOnnx(file)
        else:
            self.network = PreparedOnnx(student, file)
        meta = student.meta if student else {}
        self.classes = class_names(self.metadata, meta)

    def __call__(self, samples: Sequence[Any]) -> np.ndarray:
        """Returns the probabilities (N, C) of N samples.

        Raises:
            UserError: If there are not as many as the classes have names.
        """
        scores = self.network(samples)
        count = scores.shape[1]
        if self.classes is None:
            self.classes = [str(number) for number in range(count)]
        if count != len(self.classes):
            raise UserError(
                f'{self.folder}: expected a student of {len(self.classes)} '
                f'classes, as its {METADATA} or checkpoint names them, '
                f'got {count} outputs.'
            )
        return scores


def load_run(folder: Path) -> RunStudent:
    """Loads what ships of a folder: ``student.pth``, if it is there."""
    own = folder / STUDENT_FILE
    return load_student(folder, own if own.is_file() else None)


def class_names(metadata: dict, meta: dict) -> Optional[List[str]]:
    """Returns the names of classes; None where nobody names them."""
    names = metadata.get('classes')
    names = names or (meta.get('dataset_meta') or {}).get('classes')
    return [str(name) for name in names] if names else None
