"""Enrolment: from a technician's claim to a lamppost's certificate, with a person's decision between."""
