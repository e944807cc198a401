USER = 'not the standard library'
