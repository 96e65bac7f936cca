"""Other ways in than a gateway's MQTT, a module each, all behind `port`; docs/ways-in.md says what each promises."""
