/* Hardware time stamps: what an interface can do, and switching it on. */
#ifndef PTP_HWSTAMP_H
#define PTP_HWSTAMP_H

/*
 * Let `interface` stamp PTP event packets. Returns 0 with its PHC's index; -EOPNOTSUPP when it can only do
 * software stamps; another negative errno when asking or setting failed. An interface that already stamps is
 * left as it is. The state belongs to the device and stays after us.
 */
int hwstamp_enable(const char *interface, int *phc_index);

#endif
