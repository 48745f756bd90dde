# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node `speech_command`: a microphone or a recording in, commands as text out, and `stop` at once.

Publishes what was said on `command_text` (std_msgs/String) or, with the parameter `session_id`, on `command`
(llavaseg_ros/Command). A stop word is published on `stop` (std_msgs/Empty) while the utterance still goes on: the node
`llavaseg` ends its commands then, and a robot should end its motion. Everything is recognized on this machine.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_msgs.msg import Empty, String

from llavaseg_ros.errors import BadRequest
from llavaseg_ros.msg import Command
from llavaseg_ros.nodes.parameter_table import Spec, describe, usage
from llavaseg_ros.ros.process import run_node
from llavaseg_ros.ros.qos import COMMAND, DIAGNOSTICS, LATCHED
from llavaseg_ros.speech.audio import AudioSource, Recording
from llavaseg_ros.speech.listener import Heard, Listener, ListenerOptions, State, StopHeard
from llavaseg_ros.speech.microphone import Microphone, portaudio
from llavaseg_ros.speech.recognizer import Recognizer, domain_hotwords
from llavaseg_ros.speech.utterances import UtteranceLimits

NODE_NAME = "speech_command"
EXECUTOR_THREADS = 2
DIAGNOSTICS_PERIOD_S = 1.0
SUBSCRIBER_POLL_S = 0.1
DOMAIN = "domain"

SPECS = (
    Spec("source", "microphone", "'microphone', or an audio file to listen to once.", change="never"),
    Spec(
        "device",
        "",
        "Microphone: a number or a part of a name, as PortAudio lists them; empty = the system's default.",
        change="never",
    ),
    Spec(
        "model",
        "",
        "Folder of a faster-whisper (CTranslate2) model; empty = the small English one of the extra 'speech'.",
        change="never",
    ),
    Spec("language", "en", "Language that is spoken, as Whisper calls it.", change="never"),
    Spec(
        "hotwords",
        DOMAIN,
        "Words to expect: 'domain' = the things that the embedded default knows; empty = none; or words of your own.",
        change="never",
    ),
    Spec(
        "cpu_threads",
        1,
        "Threads of the recognizer; the look for stop words takes as many.",
        (1, 64),
        change="never",
    ),
    Spec("session_id", "", "Send commands on `command`, in this session; empty = on `command_text`.", change="never"),
    Spec("vad.threshold", 0.5, "Probability of speech from which on somebody speaks.", (0.05, 0.95), change="never"),
    Spec("utterance.end_silence_s", 0.6, "A pause of this length ends an utterance, s.", (0.1, 5), change="never"),
    Spec("utterance.min_speech_s", 0.2, "Less speech than this is a noise, s.", (0, 5), change="never"),
    Spec("utterance.max_s", 15.0, "Longer utterances are not sent, s.", (1, 28), change="never"),
    Spec(
        "confidence.min_avg_logprob",
        -0.6,
        "Utterances whose words have a lower mean log-probability are not sent.",
        (-10, 0),
        change="never",
    ),
    Spec(
        "confidence.max_no_speech_prob",
        0.6,
        "Utterances that are no speech with a higher probability are not sent.",
        (0, 1),
        change="never",
    ),
    Spec("stop.words", ["stop"], "Words, or phrases, that mean stop; [''] = none.", change="never"),
    Spec("stop.period_s", 0.2, "How often to look for them while somebody speaks, s.", (0.1, 2), change="never"),
    Spec("retry_s", 2.0, "After this time a microphone that is away is looked for, s.", (0.1, 60), change="never"),
    Spec(
        "wait_for_subscriber",
        True,
        "A recording begins when somebody subscribes to the commands: what is said before would be lost.",
        change="never",
    ),
)


class SpeechCommand(Node):
    """See the module's text. Further arguments are those of `rclpy.node.Node`.

    Raises at once, with what is missing: SpeechNotReady (packages, PortAudio, model), BadRequest (a file, a parameter).
    A microphone that is not there is no such error: the node says so and keeps looking for it.
    source, recognizer: what to use in place of those that the parameters name.
    """

    def __init__(
        self, *, source: AudioSource | None = None, recognizer: Recognizer | None = None, **node_arguments: Any
    ) -> None:
        super().__init__(NODE_NAME, **node_arguments)
        for spec in SPECS:
            self.declare_parameter(spec.name, spec.default, describe(spec))
        values = {spec.name: self.get_parameter(spec.name).value for spec in SPECS}
        self._values, self._recording = values, False
        self._counts = dict.fromkeys(("commands", "dropped", "stops"), 0)
        self._last: Heard | None = None
        self._state, self._state_text = State.STARTING, "loading the speech model"
        self._session = str(values["session_id"]).strip()
        kind, topic = (Command, "command") if self._session else (String, "command_text")
        self._commands: Any = self.create_publisher(kind, topic, COMMAND)
        self._stop = self.create_publisher(Empty, "stop", COMMAND)
        self._heard = self.create_publisher(String, "~/heard", LATCHED)
        self._state_topic = self.create_publisher(String, "~/state", LATCHED)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", DIAGNOSTICS)
        self._listener = self._make_listener(source, recognizer)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(DIAGNOSTICS_PERIOD_S, self._diagnose, clock=steady)
        self._start = self.create_timer(SUBSCRIBER_POLL_S, self._start_when_heard, clock=steady)
        self._waiting_said = False

    def close(self) -> bool:
        """End listening. False when a thread is stuck in a library."""
        return self._listener.close()

    def _make_listener(self, source: AudioSource | None, recognizer: Recognizer | None) -> Listener:
        values = self._values
        if source is None:
            name = str(values["source"]).strip()
            if not name:
                raise BadRequest("parameter source: empty; expected 'microphone' or an audio file")
            if name == "microphone":
                portaudio()  # say now what no waiting can bring
                source = Microphone(values["device"])
            else:
                source = Recording(Path(name).expanduser())
                self._recording = True
        limits = UtteranceLimits(
            threshold=values["vad.threshold"],
            end_silence_s=values["utterance.end_silence_s"],
            min_speech_s=values["utterance.min_speech_s"],
            max_s=values["utterance.max_s"],
        )
        options = ListenerOptions(
            limits=limits,
            stop_words=tuple(word for word in values["stop.words"] if word.strip()),
            stop_period_s=values["stop.period_s"],
            min_avg_logprob=values["confidence.min_avg_logprob"],
            max_no_speech_prob=values["confidence.max_no_speech_prob"],
            retry_s=values["retry_s"],
        )
        if recognizer is None:
            hotwords = domain_hotwords() if values["hotwords"] == DOMAIN else str(values["hotwords"])
            model = Path(values["model"]).expanduser() if values["model"].strip() else None
            recognizer = Recognizer(
                model, language=values["language"], hotwords=hotwords, cpu_threads=values["cpu_threads"]
            )
            self.get_logger().info(f"speech model {recognizer.folder}")
        return Listener(
            source,
            recognizer,
            options,
            on_command=self._on_command,
            on_stop=self._on_stop,
            on_heard=self._on_heard,
            on_state=self._on_state,
        )

    def _start_when_heard(self) -> None:
        """Start the listener; a recording only when somebody takes the commands."""
        wait = self._recording and self._values["wait_for_subscriber"]
        if wait and not self._commands.get_subscription_count():
            if not self._waiting_said:
                self._waiting_said = True
                self.get_logger().info(f"waiting for a subscriber of {self._commands.topic_name}")
            return
        self._start.cancel()
        self._listener.start()

    # --- from the listener's threads ---

    def _on_command(self, text: str) -> None:
        self._counts["commands"] += 1
        if self._session:
            message: Any = Command(text=text, session_id=self._session)
            message.header.stamp = self.get_clock().now().to_msg()
        else:
            message = String(data=text)
        self._commands.publish(message)
        if not self._commands.get_subscription_count():
            self.get_logger().warning(f"nobody subscribes to {self._commands.topic_name}: {text!r} is lost")

    def _on_stop(self, stop: StopHeard) -> None:
        self._stop.publish(Empty())
        self._counts["stops"] += 1
        self._heard.publish(String(data=stop.said))
        self.get_logger().warning(f"STOP: {stop.said[:80]!r}")
        if not self._stop.get_subscription_count():
            self.get_logger().error(f"{self._nobody_stops()}: this stop is lost")

    def _nobody_stops(self) -> str:
        return f"nobody subscribes to {self._stop.topic_name}"

    def _on_heard(self, heard: Heard) -> None:
        self._last = heard
        if heard.text:
            self._heard.publish(String(data=heard.text))
        what = f"heard {heard.text!r}" if heard.text else f"{heard.end_s - heard.start_s:.1f} s of speech"
        seconds = f" ({heard.transcript.seconds:.1f} s)" if heard.transcript else ""
        if heard.dropped:
            self._counts["dropped"] += 1
            self.get_logger().info(f"{what}, not sent: {heard.dropped}{seconds}")
        else:
            self.get_logger().info(f"{what}{seconds}")

    def _on_state(self, state: State, text: str) -> None:
        before, old_text = self._state, self._state_text
        self._state, self._state_text = state, text
        if state is before and text == old_text:
            return
        self._state_topic.publish(String(data=state.value))
        log = self.get_logger()
        if state is State.FAILED:
            log.error(text)
        elif state is State.AWAY:
            log.error(f"{text}; it is looked for again and again")
        elif State.HEARING not in (state, before) or state is State.ENDED:
            log.info(text)

    # --- the executor ---

    def _diagnose(self) -> None:
        name = self.get_fully_qualified_name().lstrip("/")
        loudness = self._listener.level
        values: dict[str, Any] = {
            "state": self._state.value,
            "input level [dBFS]": f"{20 * math.log10(loudness):.0f}" if loudness > 0 else "silent",
            **self._counts,
        }
        if self._last is not None:
            values |= {"last heard": self._last.text, "last dropped": self._last.dropped or "no"}
        level, message = DiagnosticStatus.OK, self._state_text
        if self._state in (State.FAILED, State.AWAY):
            level = DiagnosticStatus.ERROR
        elif not self._stop.get_subscription_count():
            level, message = DiagnosticStatus.WARN, f"{message}; {self._nobody_stops()}"
        status = DiagnosticStatus(
            level=level,
            name=f"{name}: speech",
            message=message,
            hardware_id=name,
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)


def main(args: list[str] | None = None) -> int:
    """Listen until SIGINT or SIGTERM. Returns the exit code."""
    return run_node(SpeechCommand, args, name=NODE_NAME, threads=EXECUTOR_THREADS, usage=usage(__doc__, SPECS))


if __name__ == "__main__":
    raise SystemExit(main())
