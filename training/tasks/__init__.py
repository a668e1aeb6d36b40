"""What each task of a job does; called by whatever schedules them, in any order of retries."""
