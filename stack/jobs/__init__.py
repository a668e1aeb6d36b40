"""What carries jobs out on this machine: Airflow's processes, the jobs' service, and what tasks are
told.
"""
